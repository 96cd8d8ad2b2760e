"""What kubectl prints for an answer: the words of kubectl 1.37's own sources."""

from typing import Any

import pytest

from webhook.cli.demo.kubectl import Answered, apply, surviving

DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}
DENIED = 'admission webhook "images.pullproof.dev" denied the request'


def allowed(*warnings: str, document: dict[str, Any] = DEPLOYMENT) -> Answered:
    return Answered(document, {"uid": "1", "allowed": True, "warnings": list(warnings)})


def refused(*warnings: str, **status: Any) -> Answered:
    return Answered(
        DEPLOYMENT, {"uid": "1", "allowed": False, "warnings": list(warnings), "status": status}
    )


def test_a_created_object_is_named_with_its_group() -> None:
    printed = apply("f.yaml", [allowed()])
    assert (printed.stdout, printed.stderr) == ("deployment.apps/web created\n", "")
    assert printed.status == 0


def test_an_object_of_the_core_group_is_named_without() -> None:
    assert apply("f.yaml", [allowed(document=POD)]).stdout == "pod/web created\n"


def test_warnings_go_to_stderr_before_the_object_is_told_of() -> None:
    printed = apply("f.yaml", [allowed("one", "two")])
    assert printed.stderr == "Warning: one\nWarning: two\n"
    assert printed.transcript == "Warning: one\nWarning: two\ndeployment.apps/web created\n"


def test_a_denial_names_the_file_and_the_webhook() -> None:
    printed = apply("samples/f.yaml", [refused(code=403, reason="Forbidden", message="no such")])
    assert printed.stderr == (
        f'Error from server (Forbidden): error when creating "samples/f.yaml": {DENIED}: no such\n'
    )
    assert (printed.stdout, printed.status) == ("", 1)


def test_a_message_of_several_lines_is_printed_as_it_is() -> None:
    printed = apply("f", [refused(reason="Forbidden", message="one\n  two")])
    assert printed.stderr.endswith(": one\n  two\n")
    assert apply("f", [refused(reason="Forbidden", message="one\n")]).stderr.endswith(": one\n")
    assert not apply("f", [refused(reason="Forbidden", message="one\n")]).stderr.endswith("\n\n")


@pytest.mark.parametrize(
    ("status", "printed"),
    [
        ({}, f'Error from server: error when creating "f": {DENIED} without explanation\n'),
        ({"message": "no"}, f'Error from server: error when creating "f": {DENIED}: no\n'),
        (
            {"reason": "Forbidden"},
            f'Error from server (Forbidden): error when creating "f": {DENIED}: Forbidden\n',
        ),
        (
            {"reason": "Unauthorized", "message": "no"},
            f'error: You must be logged in to the server (error when creating "f": {DENIED}: no)\n',
        ),
        (
            {"reason": "Invalid", "message": "no"},
            f'The request is invalid: error when creating "f": {DENIED}: no\n',
        ),
        (
            {
                "reason": "Invalid",
                "message": "no",
                "details": {"causes": [{"field": "spec", "message": "bad"}]},
            },
            "The request is invalid: spec: bad\n",
        ),
        (
            {
                "reason": "Invalid",
                "details": {
                    "name": "web",
                    "kind": "Pod",
                    "causes": [{"field": "a", "message": "b"}, {"field": "c", "message": "d"}],
                },
            },
            'The Pod "web" is invalid: \n* a: b\n* c: d\n',
        ),
    ],
)
def test_each_kind_of_status_has_its_words(status: dict[str, Any], printed: str) -> None:
    assert apply("f", [refused(**status)]).stderr == printed


def test_a_denial_is_told_after_everything_else_of_the_file() -> None:
    bad = refused("careful", reason="Forbidden", message="no")
    printed = apply("f", [bad, allowed()])
    assert printed.stdout == "deployment.apps/web created\n"
    error = f'Error from server (Forbidden): error when creating "f": {DENIED}: no\n'
    assert printed.stderr == "Warning: careful\n" + error
    assert printed.transcript == "Warning: careful\ndeployment.apps/web created\n" + error


def test_several_denials_stand_one_after_the_other() -> None:
    bad = refused(reason="Forbidden", message="no")
    error = f'Error from server (Forbidden): error when creating "f": {DENIED}: no\n'
    assert apply("f", [bad, bad]).stderr == error * 2


def test_a_warning_is_told_once_for_all_objects() -> None:
    assert apply("f", [allowed("one"), allowed("one")]).stderr == "Warning: one\n"


def test_the_api_server_drops_empty_warnings_and_control_characters() -> None:
    assert surviving(["", "a\nb", "tab\t", "c", "c"]) == ["c"]


def test_the_api_server_keeps_warnings_of_4096_characters_in_all() -> None:
    assert surviving(["a" * 4096]) == ["a" * 4096]


def test_the_api_server_cuts_and_then_drops_warnings_past_that() -> None:
    warnings = [f"{number:02}" + "é" * 298 for number in range(30)]
    kept = surviving(warnings)
    assert [len(text) for text in kept] == [256] * 16
    assert kept[0] == "00" + "é" * 254
