"""The OpenAPI description is true: of every path, parameter, status and answer."""

import re

import pytest
from starlette.routing import Route

from minicnn.service import Limits
from minicnn.service.openapi import describe
from minicnn.service.questions import PARAMETERS, TASKS
from minicnn.service.refusals import REASONS

TYPES = {"string": str, "integer": int, "number": int | float, "boolean": bool, "null": type(None), "array": list}


def check(value, schema):
    """Hold a value against a schema, as far as ours go."""
    if "const" in schema:
        assert value == schema["const"]
    names = schema.get("type", [])
    if schema.get("type") == "object":
        assert set(value) == set(schema["required"]) == set(schema["properties"])
        for name, each in value.items():
            check(each, schema["properties"][name])
    elif names:
        names = [names] if isinstance(names, str) else names
        assert isinstance(value, tuple(TYPES[name] for name in names)), (value, names)
        assert isinstance(value, bool) == (names == ["boolean"])
    if isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        for each in value:
            check(each, schema["items"])
    if "minimum" in schema:
        assert schema["minimum"] <= value <= schema.get("maximum", value)


@pytest.fixture
def served(serve):
    return serve()


def test_every_route_is_described_and_no_other(served):
    paths = served.ask("/openapi.json").data["paths"]
    routes = {
        route.path: {"get" if method == "HEAD" else method.lower() for method in route.methods}
        for route in served.app.app.routes
        if isinstance(route, Route)
    }
    assert {path: set(operations) for path, operations in paths.items()} == routes


def test_answers_are_as_described(served, seven):
    paths = served.ask("/openapi.json").data["paths"]
    for task in TASKS:
        content = paths[f"/{task}"]["post"]["responses"]["200"]["content"]
        for kind in content:
            given = served.ask(f"/{task}", seven, Accept=kind)
            assert given.status == 200 and given.headers["content-type"] == kind
            if kind == "application/json":
                check(given.data, content[kind]["schema"])
    for path in ("/classes", "/live", "/ready"):
        check(
            served.ask(path).data, paths[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        )


def test_every_parameter_is_taken_with_every_value(served, seven):
    for task in TASKS:
        described = served.ask("/openapi.json").data["paths"][f"/{task}"]["post"]["parameters"]
        assert {each["name"] for each in described} == {
            name for name, all in PARAMETERS.items() if any(task in each.tasks for each in all)
        }
        for each in described:
            schema = each["schema"]
            values = schema.get("enum") or [schema["maximum"] if "maximum" in schema else "7"]
            if each["name"] == "top" and task == "localise":
                values = [2]
            for value in values:
                assert served.ask(f"/{task}?{each['name']}={value}", seven).status == 200, (task, each, value)


def test_every_status_of_a_question_is_described():
    described = describe(Limits(), 10, True)["paths"]["/predict"]["post"]["responses"]
    sent = {str(status) for reason, (status, _) in REASONS.items() if reason not in ("gone", "path")}
    assert set(described) == {"200", *sent}


def test_a_token_is_described_where_it_is_asked_for():
    for has_token in (True, False):
        paths = describe(Limits(), 10, has_token)["paths"]
        secured = {path for path, each in paths.items() for one in each.values() if "security" in one}
        assert secured == ({*paths} - {"/live", "/ready"} if has_token else set())


def test_limits_are_in_the_description(net):
    text = describe(Limits(bytes=1234, pixels=567), 10, False)["info"]["description"]
    assert re.findall(r"1,234 bytes and 567 pixels", text)
