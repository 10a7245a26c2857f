#!/usr/bin/env bash
# A base image for tests, where no image registry can be reached: base.sh CACHE, which prints its name.
# Debian 12 from debootstrap, with its Python 3.11 and what the official python:3.11-slim-bookworm has beside it: pip,
# setuptools, ensurepip and `python`. The root file system is kept in CACHE, and made anew when this script changes.
set -euo pipefail
cache=$1
recipe=$(sha256sum "$0" | cut -c 1-12)
name=localhost/serin-base:$recipe archive=$cache/base-$recipe.tar
[ -n "$(buildah images --quiet "$name" 2>/dev/null)" ] && { echo "$name"; exit 0; }

if [ ! -e "$archive" ]; then
  mkdir -p "$cache"
  root=$(mktemp -d)
  trap 'rm -rf "$root" "$archive.part"' EXIT
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv \
    bookworm "$root" http://deb.debian.org/debian >"$cache/debootstrap.log" 2>&1 ||
    { echo "debootstrap failed; the end of $cache/debootstrap.log:"; tail -5 "$cache/debootstrap.log"; exit 1; } >&2
  rm "$root"/usr/lib/python3.11/EXTERNALLY-MANAGED
  chroot "$root" sh -ec '
    pip=$(echo /usr/share/python-wheels/pip-*.whl)
    python3 $pip/pip install --quiet --no-index --root-user-action=ignore $pip /usr/share/python-wheels/setuptools-*.whl
    ln -s /usr/bin/python3 /usr/local/bin/python
    rm -r /usr/share/python-wheels
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /usr/share/doc /usr/share/man /usr/share/locale
    find / -xdev -name __pycache__ -prune -exec rm -r {} +'
  tar --create --numeric-owner --sort=name --directory "$root" --file "$archive.part" .
  mv "$archive.part" "$archive"
fi

container=$(buildah from scratch)
trap 'buildah rm "$container" >/dev/null' EXIT
buildah add --quiet "$container" "$archive" / >/dev/null
buildah config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin --cmd '["python3"]' "$container"
buildah commit --quiet --format docker "$container" "$name" >/dev/null
echo "$name"
