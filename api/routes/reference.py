"""The API's description as a plain page for people: no script, nothing from elsewhere."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from api.web.rendering import page

router = APIRouter(include_in_schema=False)


@router.get("/docs")
def show_reference(request: Request) -> Response:
    """List every operation with what it needs and takes."""
    described = request.app.openapi()
    operations = [
        _operation(path, method, facts)
        for path, methods in described["paths"].items()
        for method, facts in methods.items()
    ]
    tags = {tag["name"]: tag["description"] for tag in described["tags"]}
    context = {"title": described["info"]["title"], "version": described["info"]["version"]}
    return page("reference.html", {**context, "operations": operations, "tags": tags})


def _operation(path: str, method: str, facts: dict[str, Any]) -> dict[str, Any]:
    roles = [role for need in facts.get("security", []) for scopes in need.values() for role in scopes]
    return {
        "path": path,
        "method": method.upper(),
        "tag": facts["tags"][0],
        "text": facts.get("description", facts["summary"]),
        "role": roles[0] if roles else "",
        "parameters": [
            {
                "name": parameter["name"],
                "where": parameter["in"],
                "required": parameter.get("required", False),
                "text": parameter.get("description", ""),
            }
            for parameter in facts.get("parameters", [])
        ],
    }
