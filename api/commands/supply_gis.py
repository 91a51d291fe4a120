"""`h2twin supply import-gis` and `export-gis`: a network from the layers of a GIS, and as layers."""

from __future__ import annotations

import json as plain_json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.options import Json, plain, print_json, print_table, readable
from twin.errors import InputError

if TYPE_CHECKING:
    from models.supply.gis.exporting import Exported
    from models.supply.gis.importing import Imported

_SHOWN = 50


def import_gis(
    mapping: Annotated[Path, typer.Argument(callback=readable, help="TOML file: which layer is what (docs/gis.md).")],
    out: Annotated[Path, typer.Option(help="INP file to write.")],
    json: Json = False,
) -> None:
    """Write an INP from GeoJSON or GeoPackage layers; say everything that is wrong with them.

    Nothing is mended, and nothing written as long as something is in the way. What may be meant as it is drawn (pipes
    that cross, say) is told and written all the same.
    """
    from api.bootstrap import engine_pool
    from api.settings import load_settings
    from models.supply.gis.importing import import_gis as read_layers
    from models.supply.loader import load_model

    with engine_pool(load_settings(), workers=1) as pool:
        found = pool.run(read_layers, mapping.absolute())
        if not found.in_the_way:
            load_model(found.inp.encode(), pool)
    if not found.in_the_way:
        out.write_text(found.inp, encoding="utf-8")
    if json:
        print_json(_words(found))
    else:
        _print(found, out)
    if found.in_the_way:
        raise InputError(
            f"{len(found.in_the_way)} problems are in the way, nothing was written: mend them in the layers"
        )


def export_gis(
    network: Annotated[Path, typer.Argument(callback=readable, help="EPANET INP file.")],
    out: Annotated[Path, typer.Option(help="Folder to write; it must be empty or not there.")],
    crs: Annotated[str, typer.Option(help="What the INP's coordinates are: schematic, or EPSG:number.")] = "schematic",
) -> None:
    """Write a network's layers as GeoJSON, what they cannot hold as an INP, and the mapping that reads both back."""
    from api.bootstrap import engine_pool
    from api.settings import load_settings
    from models.supply.gis.exporting import export_gis as layers_of
    from models.supply.gis.mapping import check_crs

    check_crs("--crs", crs)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not an empty folder; nothing was written")
    with engine_pool(load_settings(), workers=1) as pool:
        exported = pool.run(layers_of, network.read_bytes(), crs)
    write_layers(exported, out)
    counts = ", ".join(f"{len(rows)} {layer}" for layer, rows in exported.layers.items())
    typer.echo(f"{out}: {counts}")


def write_layers(exported: Exported, out: Path) -> None:
    """Write layers as GeoJSON, the INP of the rest, and the mapping, into a folder."""
    from models.supply.gis.exporting import MAPPING_FILE, REST_FILE

    out.mkdir(parents=True, exist_ok=True)
    for layer, rows in exported.layers.items():
        features = [_feature(points, row) for points, row in rows]
        collection = {"type": "FeatureCollection", "features": features}
        (out / f"{layer}.geojson").write_text(plain_json.dumps(collection), encoding="utf-8")
    (out / REST_FILE).write_text(exported.rest, encoding="utf-8")
    (out / MAPPING_FILE).write_text(exported.mapping, encoding="utf-8")


def _feature(points: tuple[tuple[float, float], ...], row: dict[str, Any]) -> dict[str, Any]:
    geometry = (
        {"type": "Point", "coordinates": points[0]}
        if len(points) == 1
        else {"type": "LineString", "coordinates": points}
    )
    return {"type": "Feature", "geometry": geometry, "properties": row}


def _words(found: Imported) -> dict[str, Any]:
    return {
        "written": not found.in_the_way,
        "elements": dict(found.elements),
        "problems": [{**plain(problem), "in_the_way": problem in found.in_the_way} for problem in found.problems],
        "parallel": [list(ids) for ids in found.parallel],
    }


def _print(found: Imported, out: Path) -> None:
    blocking = found.in_the_way
    ordered = [*blocking, *(problem for problem in found.problems if problem not in blocking)]
    rows = [
        (
            "in the way" if n < len(blocking) else "look at",
            problem.kind.value,
            problem.layer,
            problem.element_id,
            problem.text,
        )
        for n, problem in enumerate(ordered[:_SHOWN])
    ]
    columns = ("", "problem", "layer", "id", "what is wrong")
    print_table(f"{len(found.problems)} problems", columns, rows, empty="The layers are sound.")
    if len(ordered) > _SHOWN:
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(one.kind.value for one in ordered).items())
        typer.echo(f"… in all {kinds}; --json lists them")
    for ids in found.parallel:
        typer.echo(f"side by side, kept: {', '.join(ids)}")
    if not blocking:
        typer.echo(f"{out}: {', '.join(f'{count} {layer}' for layer, count in found.elements.items())}")
