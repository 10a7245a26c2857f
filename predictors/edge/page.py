"""The OpenAPI document as a page to read and to try: whole in one answer, so that it shows in a closed network, too."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from string import Template
from typing import Any

from predictors.edge.examples import example

Json = Mapping[str, Any]

_METHODS = ("get", "post", "put", "delete", "patch")

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
details { border: 1px solid #ccc; border-radius: 4px; margin: .4rem 0; padding: .3rem .7rem }
summary { cursor: pointer }
pre, textarea, input, code { font: 13px/1.4 ui-monospace, monospace }
pre { background: #f4f4f4; padding: .5rem; overflow: auto; max-height: 30rem }
textarea, input { width: 100%; box-sizing: border-box; margin: .2rem 0 }
b { display: inline-block; min-width: 4rem }
td { padding: .1rem 1rem .1rem 0; vertical-align: top }
</style>
<h1>$title</h1>
<p>For programs: <a href="openapi.json">openapi.json</a>. Examples show the form of a value, not a likely one.</p>
$operations
<h2>Schemas</h2>
$schemas
<script>
const unfold = () => { const part = document.getElementById(location.hash.slice(1)); if (part) part.open = true; };
addEventListener("hashchange", unfold);
unfold();
const page = location.pathname.replace(/\\/docs\\/?$$/, "");
for (const form of document.forms) form.onsubmit = async (event) => {
  event.preventDefault();
  const shown = form.querySelector("output");
  try {
    const body = form.body && {body: form.body.value, headers: {"content-type": "application/json"}};
    const answer = await fetch(page + form.path.value, {method: form.dataset.method, ...body});
    shown.innerText = answer.status + " " + (answer.headers.get("x-request-id") ?? "") + "\\n" + await answer.text();
  } catch (error) { shown.innerText = error; }
};
</script>
""")


def page(document: Json) -> str:
    """The document as HTML: its operations, each with an example to send, and the schemas that they speak of."""
    info, schemas = document["info"], document["components"]["schemas"]
    operations = (
        _operation(path, method, item[method], schemas)
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    )
    return _PAGE.substitute(
        title=escape(f"{info['title']} version {info['version']}"),
        operations="\n".join(operations),
        schemas="\n".join(_schema(name, schema) for name, schema in schemas.items()),
    )


def _operation(path: str, method: str, operation: Json, schemas: Json) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    body = ""
    if content:
        sent = json.dumps(example(content["schema"], schemas), indent=1, ensure_ascii=False)
        lines = min(sent.count("\n") + 1, 24)
        body = f'{_named(content["schema"])}<textarea name="body" rows="{lines}">{escape(sent)}</textarea>'
    return f"""<details{" open" if path.endswith(":predict") else ""}>
<summary><b>{method.upper()}</b> <code>{escape(path)}</code></summary>
<p>{escape(operation.get("description") or operation.get("summary") or "")}</p>
<form data-method="{method.upper()}"><input name="path" value="{escape(path)}" aria-label="path">
{body}<button>Send</button><pre><output></output></pre></form>
<table>{"".join(_rows(operation))}</table>
</details>"""


def _rows(operation: Json) -> Iterator[str]:
    """What a caller may send beside the body, and what may come back."""
    for parameter in operation.get("parameters", ()):
        told = f"{parameter['in']}{', required' if parameter.get('required') else ''}"
        text = parameter.get("description", "")
        yield f"<tr><td><code>{escape(parameter['name'])}</code><td>{told}<td>{escape(text)}"
    for code, answer in operation.get("responses", {}).items():
        content = answer.get("content", {}).get("application/json", {})
        yield f"<tr><td>{code}<td>{_named(content.get('schema', {}))}<td>{escape(answer.get('description', ''))}"


def _named(schema: Json) -> str:
    name = escape(schema.get("$ref", "").rpartition("/")[2])
    return f'<a href="#{name}">{name}</a>' if name else ""


def _schema(name: str, schema: Json) -> str:
    text = escape(json.dumps(schema, indent=1, ensure_ascii=False))
    return f'<details id="{escape(name)}"><summary>{escape(name)}</summary><pre>{text}</pre></details>'
