"""The client of Kubeflow Pipelines, against a stand-in of its API server over HTTP."""

import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from serin.adapters.cluster.api import Api
from serin.adapters.cluster.checks import checks
from serin.adapters.cluster.endpoints import Endpoints
from serin.adapters.cluster.kfp import Kubeflow
from serin.adapters.cluster.package import Package
from serin.adapters.cluster.prometheus import PrometheusMetrics
from serin.errors import NotFoundError, SerinError, UnavailableError
from serin.ports import Check
from tests.kfp_server import Fault, KfpServer, kfp_server
from tests.services import free_port

PACKAGE = Package("""\
pipelineInfo: {name: serin-demo, description: A demonstration}
root:
  dag: {tasks: {look: {taskInfo: {name: take a look}}}}
  inputDefinitions:
    parameters:
      use_case: {parameterType: STRING}
      version: {parameterType: NUMBER_INTEGER, isOptional: true}
schemaVersion: 2.1.0
---
platforms: {kubernetes: {}}
""")
RUNS = "/apis/v2beta1/runs"


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    with kfp_server() as server:
        yield server


@pytest.fixture
def many_users(tmp_path: Path) -> Iterator[tuple[KfpServer, Endpoints, Path]]:
    token = tmp_path / "token"
    token.write_text("first\n")
    ann = "system:serviceaccount:serin:ann"
    with kfp_server(multi_user=True, tokens={"first": ann, "second": ann}, rights={ann: {"serin"}}) as server:
        yield server, replace(at(server.url), kfp_namespace="serin", kfp_token_file=token), token


def at(host: str) -> Endpoints:
    return Endpoints(None, "", "", "serin", host, "", None)


def start(kubeflow: Kubeflow, name: str = "demo-1") -> str:
    version = kubeflow.version(PACKAGE)
    return str(kubeflow.start(version, kubeflow.experiment("card_fraud"), name, {"use_case": "c"}, "serin-p").run_id)


def test_a_package_is_uploaded_once_whoever_uploads_it(kfp: KfpServer) -> None:
    first, again = (Kubeflow(at(kfp.url)).version(PACKAGE) for _ in range(2))
    assert first.uploaded
    assert not again.uploaded
    assert first.version_id == again.version_id
    assert len(kfp.asked("POST", ".*upload_version")) == 1
    assert kfp.versions[first.version_id].name == PACKAGE.version


def test_another_content_is_another_version_of_the_same_pipeline(kfp: KfpServer) -> None:
    kubeflow = Kubeflow(at(kfp.url))
    one, other = kubeflow.version(PACKAGE), kubeflow.version(Package(PACKAGE.text.replace("a look", "a glance")))
    assert one.pipeline_id == other.pipeline_id
    assert one.version_id != other.version_id


def test_the_uploaded_version_has_the_settings_of_kubernetes(kfp: KfpServer) -> None:
    version = Kubeflow(at(kfp.url)).version(PACKAGE)
    assert set(kfp.versions[version.version_id].pipeline_spec) == {"pipeline_spec", "platform_spec"}


def test_a_version_is_found_among_more_than_a_page(kfp: KfpServer) -> None:
    kubeflow = Kubeflow(at(kfp.url))
    ids = [kubeflow.version(Package(f"{PACKAGE.text}# {number}\n")).version_id for number in range(3)]
    method = kubeflow.pipelines.pipeline_service_list_pipeline_versions
    pipeline = kubeflow.version(PACKAGE).pipeline_id
    found = kubeflow.listed("list", _two_a_page(method), "pipeline_versions", pipeline)
    assert {version.pipeline_version_id for version in found} > set(ids)


def _two_a_page(method):  # type: ignore[no-untyped-def]
    return lambda *args, **kwargs: method(*args, **{**kwargs, "page_size": 2})


def test_there_is_one_experiment_of_a_name(kfp: KfpServer) -> None:
    assert Kubeflow(at(kfp.url)).experiment("card_fraud") == Kubeflow(at(kfp.url)).experiment("card_fraud")
    assert len(kfp.experiments) == 1


def test_a_run_has_the_version_the_parameters_and_the_account(kfp: KfpServer) -> None:
    run = kfp.runs[start(Kubeflow(at(kfp.url)))]
    assert run.pipeline_version_reference.pipeline_version_id in kfp.versions
    assert run.runtime_config.parameters == {"use_case": "c"}
    assert run.service_account == "serin-p"
    assert kfp.experiments[run.experiment_id].display_name == "card_fraud"


def test_a_run_whose_answer_was_lost_is_found_and_not_started_again(kfp: KfpServer) -> None:
    kfp.faults.append(Fault("POST", RUNS, drop=True, done=True))
    assert start(Kubeflow(at(kfp.url))) in kfp.runs
    assert len(kfp.runs) == 1


def test_a_run_that_could_not_be_started_is_an_error(kfp: KfpServer) -> None:
    kfp.faults.append(Fault("POST", RUNS, drop=True))
    with pytest.raises(UnavailableError, match="asked to start the run demo-1"):
        start(Kubeflow(at(kfp.url)))
    assert not kfp.runs


def test_a_look_is_asked_again_where_the_gateway_fails_for_a_moment(kfp: KfpServer) -> None:
    kubeflow = Kubeflow(at(kfp.url))
    run = start(kubeflow)
    kfp.faults += [Fault("GET", RUNS, status=503), Fault("GET", RUNS, status=502), Fault("GET", RUNS, drop=True)]
    assert kubeflow.run(run).run_id == run


def test_a_token_is_read_anew_for_each_request(many_users: tuple[KfpServer, Endpoints, Path]) -> None:
    kfp, endpoints, token = many_users
    kubeflow = Kubeflow(endpoints)
    run = start(kubeflow)
    token.write_text("second")
    kubeflow.run(run)
    assert kfp.asked("POST", RUNS)[-1].token == "Bearer first"  # noqa: S105
    assert kfp.asked("GET", f"{RUNS}/.*")[-1].token == "Bearer second"  # noqa: S105


def test_a_link_of_many_users_names_the_namespace(many_users: tuple[KfpServer, Endpoints, Path]) -> None:
    _, endpoints, _ = many_users
    assert Kubeflow(endpoints).link("r1") == f"{endpoints.kfp_host}/?ns=serin#/runs/details/r1"


def test_a_link_of_a_single_user_names_none(kfp: KfpServer) -> None:
    assert Kubeflow(at(kfp.url)).link("r1") == f"{kfp.url}/#/runs/details/r1"


def test_a_token_that_nobody_knows_is_told(many_users: tuple[KfpServer, Endpoints, Path]) -> None:
    _, endpoints, token = many_users
    token.write_text("forged")
    with pytest.raises(UnavailableError, match=r"does not know who asks \(401\).*SERIN_KFP_TOKEN_FILE"):
        start(Kubeflow(endpoints))


def test_a_missing_right_is_told_with_who_what_and_where(many_users: tuple[KfpServer, Endpoints, Path]) -> None:
    _, endpoints, _ = many_users
    told = "system:serviceaccount:serin:ann may not get pipelines.pipelines.kubeflow.org in namespace other"
    with pytest.raises(UnavailableError, match=told):
        start(Kubeflow(replace(endpoints, kfp_namespace="other")))


def test_a_right_that_the_upload_misses_is_told_as_one(many_users: tuple[KfpServer, Endpoints, Path]) -> None:
    kfp, endpoints, _ = many_users
    said = "pipeline upload denied: permission to create pipelines.pipelines.kubeflow.org is required"
    body = json.dumps({"error_message": said})
    kfp.faults.append(Fault("POST", "/apis/v2beta1/pipelines/upload_version", status=400, body=body))
    with pytest.raises(UnavailableError, match=r"does not allow it \(400\): pipeline upload denied"):
        start(Kubeflow(endpoints))


def test_a_token_file_that_is_not_there_is_named(many_users: tuple[KfpServer, Endpoints, Path]) -> None:
    _, endpoints, token = many_users
    token.unlink()
    with pytest.raises(UnavailableError, match=f"SERIN_KFP_TOKEN_FILE {token} can't be read: No such file"):
        Kubeflow(endpoints).experiment("card_fraud")


def test_many_users_need_a_namespace(many_users: tuple[KfpServer, Endpoints, Path]) -> None:
    _, endpoints, _ = many_users
    with pytest.raises(UnavailableError, match="has many users: SERIN_KFP_NAMESPACE must name"):
        Kubeflow(replace(endpoints, kfp_namespace="")).experiment("card_fraud")


def test_a_single_user_has_no_namespace(kfp: KfpServer) -> None:
    with pytest.raises(UnavailableError, match=r"SERIN_KFP_NAMESPACE is serin, but .* single user"):
        Kubeflow(replace(at(kfp.url), kfp_namespace="serin")).experiment("card_fraud")


def test_a_run_that_is_not_there_is_named(kfp: KfpServer) -> None:
    with pytest.raises(NotFoundError, match=r"tell of the run r1, found nothing \(404\): .*Run r1 not found"):
        Kubeflow(at(kfp.url)).run("r1")


def test_a_parameter_that_kfp_refuses_is_told_in_its_words(kfp: KfpServer) -> None:
    kubeflow = Kubeflow(at(kfp.url))
    with pytest.raises(SerinError, match=r"refused \(400\): .*parameter use_case is not optional"):
        kubeflow.start(kubeflow.version(PACKAGE), kubeflow.experiment("e"), "n", {}, "")


def test_a_failure_of_the_server_is_told(kfp: KfpServer) -> None:
    kfp.faults.append(Fault("GET", "/apis/v2beta1/healthz", status=500, body='{"message": "no database"}'))
    with pytest.raises(UnavailableError, match=r"asked to say how it is, failed \(500\): no database"):
        Kubeflow(at(kfp.url)).experiment("e")


def test_a_login_page_in_place_of_the_api_is_no_answer(kfp: KfpServer) -> None:
    kfp.faults.append(Fault("GET", "/", status=200, body="<h1>Log in</h1>", content_type="text/html"))
    with pytest.raises(UnavailableError, match="is not Kubeflow Pipelines' API, or wants a login first"):
        Kubeflow(at(kfp.url)).experiment("e")


def test_no_host_is_told_with_how_to_name_one() -> None:
    with pytest.raises(UnavailableError, match="set SERIN_KFP_HOST to its URL, or give --host URL"):
        Kubeflow(at(""))


def test_a_host_at_which_nobody_answers_is_named() -> None:
    host = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UnavailableError, match=rf"{host} can't be asked .*: nobody answers there .*refused"):
        Kubeflow(at(host)).experiment("e")


def test_a_host_whose_name_nobody_knows_is_named() -> None:
    with pytest.raises(UnavailableError, match="there is no host of that name"):
        Kubeflow(at("http://nowhere.invalid")).experiment("e")


@pytest.fixture
def https(kfp: KfpServer, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A TLS end before the stand-in, with a certificate that it issued itself."""
    import socketserver
    import urllib.request
    from http.server import BaseHTTPRequestHandler

    certificate = _certificate(tmp_path)

    class Forward(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Silence."""

        def do_GET(self) -> None:
            """Hand on, without TLS."""
            with urllib.request.urlopen(kfp.url + self.path) as answer:  # noqa: S310
                body = answer.read()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    class Server(socketserver.TCPServer):
        def handle_error(self, *_: object) -> None:
            """A client that does not trust the certificate hangs up."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Server(("127.0.0.1", 0), Forward) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}", certificate
        server.shutdown()
        thread.join()


def _certificate(folder: Path) -> Path:
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kfp")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "kfp.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def test_a_certificate_of_an_unknown_authority_is_told(https: tuple[str, Path]) -> None:
    host, _ = https
    with pytest.raises(UnavailableError, match=r"its certificate is not accepted .*self.signed.*SERIN_KFP_CA_FILE"):
        Kubeflow(at(host)).link("r1")


def test_a_certificate_of_the_named_authority_is_accepted(https: tuple[str, Path]) -> None:
    host, certificate = https
    assert Kubeflow(replace(at(host), kfp_ca_file=certificate)).link("r1") == f"{host}/#/runs/details/r1"


def _looked_at(endpoints: Endpoints, folder: Path) -> Check:
    def no_metrics() -> PrometheusMetrics:
        raise UnavailableError("none")

    found = checks(Api("serin", folder / "no-kubeconfig"), endpoints, no_metrics)
    return next(check for check in found if check.what == "Kubeflow Pipelines")


def test_doctor_takes_the_named_authority_for_kubeflow(https: tuple[str, Path], tmp_path: Path) -> None:
    host, certificate = https
    assert _looked_at(replace(at(host), kfp_ca_file=certificate), tmp_path) == Check(
        True, "Kubeflow Pipelines", f"{host}, a single user"
    )
    assert "its certificate is not accepted" in _looked_at(at(host), tmp_path).found


def test_doctor_tells_that_the_namespace_of_kubeflow_is_missing(
    many_users: tuple[KfpServer, Endpoints, Path], tmp_path: Path
) -> None:
    _, endpoints, _ = many_users
    assert _looked_at(endpoints, tmp_path).found == f"{endpoints.kfp_host}, namespace serin"
    assert "SERIN_KFP_NAMESPACE must name" in _looked_at(replace(endpoints, kfp_namespace=""), tmp_path).found
