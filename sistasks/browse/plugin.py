"""Our plugin for Datasette 0.65: pages with charts, links and outcomes in every table. It needs no JavaScript."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Any, Final, TypeVar

from datasette import NotFound, Response
from datasette import hookimpl as _hookimpl
from datasette.utils import tilde_decode

from sistasks.browse import cells, evidence, functions, pages, pictures
from sistasks.browse.metadata import DATABASE
from sistasks.charts import STYLE
from sistasks.history.artifacts import name_of
from sistasks.resources import data_file

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable, Mapping

    from datasette.app import Datasette
    from datasette.utils.asgi import Request
    from jinja2 import Environment

    from sistasks.browse.series import Row
    from sistasks.history.artifacts import StoredArtifact

_Hook = TypeVar("_Hook", bound="Callable[..., Any]")
hook: Final[Callable[[_Hook], _Hook]] = _hookimpl

NAME: Final = "sistasks"
_LARGEST: Final = 2**63 - 1


@hook
def prepare_connection(conn: sqlite3.Connection, database: str) -> None:
    """Functions that unpack samples, for SQL."""
    if database == DATABASE:
        functions.register(conn)


@hook
def prepare_jinja2_environment(env: Environment) -> None:
    """What our templates use."""
    env.filters.update(
        badge=cells.badge, moment=cells.moment, percent=cells.percent, short=cells.short, show=cells.figure,
        change=functools.partial(cells.percent, signed=True),
    )  # fmt: skip
    env.globals.update(
        run_path=cells.run_path, kernel_path=cells.kernel_path, metric_path=cells.metric_path, row_path=cells.row_path,
        artifact_path=cells.artifact_path, rule_path=cells.rule_path, artifact_name=name_of, key_link=cells.key_link,
        spark=pictures.spark, database_name=DATABASE,
    )  # fmt: skip


@hook
def render_cell(row: Mapping[str, Any], value: Any, column: str, table: str | None, database: str) -> Any:
    """Links, outcomes and figures in every table and query."""
    if database != DATABASE:
        return None
    if (table, column) == ("artifacts", "path"):
        return cells.link(cells.artifact_path(row["id"]), value)
    return cells.cell(row, value, column)


@hook
def menu_links(datasette: Datasette) -> list[dict[str, str]]:
    """The menu on every page."""
    return [
        {"href": datasette.urls.path(path), "label": label}
        for path, label in (
            ("/", "Start"),
            ("/-/metrics", "Metrics"),
            (f"/{DATABASE}/runs", "Runs"),
            (f"/{DATABASE}/kernels", "Kernels"),
            (f"/{DATABASE}/verdicts_now", "Latest verdicts"),
            (f"/{DATABASE}/failing_findings", "Failing findings"),
            (f"/{DATABASE}#queries", "Queries"),
            (f"/{DATABASE}", "Tables"),
        )
    ]


@functools.cache
def _style() -> str:
    return data_file("templates/browse/browse.css").read_text(encoding="utf-8") + STYLE


@hook
def extra_css_urls(datasette: Datasette) -> list[str]:
    """Our colours, also for Datasette's own pages."""
    digest = hashlib.sha256(_style().encode()).hexdigest()[:12]
    return [datasette.urls.path(f"/-/sistasks.css?{digest}")]


@hook
def extra_template_vars(datasette: Datasette, view_name: str) -> Callable[[], Awaitable[dict[str, Any]]]:
    """What the start page shows: it is Datasette's index, with a template of ours."""

    async def variables() -> dict[str, Any]:
        if view_name != "index":
            return {}
        return {"start": await datasette.get_database(DATABASE).execute_fn(pages.start_page)}

    return variables


@hook
def register_routes() -> list[tuple[str, Callable[..., Any]]]:
    """Our pages; `.json` behind an address gives what the page says as JSON."""
    return [
        (r"^/-/start(?P<json>\.json)?$", start_view),
        (r"^/-/metrics(?P<json>\.json)?$", metrics_view),
        (r"^/-/run/(?P<key>[^/]+?)(?P<json>\.json)?$", run_view),
        (r"^/-/kernel/(?P<key>[^/]+?)(?P<json>\.json)?$", kernel_view),
        (r"^/-/metric/(?P<key>[^/]+?)(?P<json>\.json)?$", metric_view),
        (r"^/-/artifact/(?P<key>[^/]+)$", artifact_view),
        (r"^/-/sistasks\.css$", style_view),
    ]


async def style_view() -> Response:
    """Our style sheet and that of the charts; its address changes with its content."""
    return Response(
        _style(), content_type="text/css; charset=utf-8", headers={"cache-control": "max-age=86400"}
    )


async def start_view(request: Request, datasette: Datasette) -> Response:
    """The start page's data; as a page it is at /."""
    if not request.url_vars["json"]:
        return Response.redirect(datasette.urls.path("/"))
    return Response.json(await datasette.get_database(DATABASE).execute_fn(pages.start_page))


async def metrics_view(request: Request, datasette: Datasette) -> Response:
    """Every metric with its sparkline."""
    return await _respond(request, datasette, "sistasks_metrics.html", pages.metric_list, lambda _, __: None)


async def run_view(request: Request, datasette: Datasette) -> Response:
    """One run; `node=` chooses whose samples are drawn."""
    run_id, node = _whole(_key(request)), _whole(request.args.get("node") or "")
    if run_id is None:
        raise NotFound("No run has such a number")
    return await _respond(
        request,
        datasette,
        "sistasks_run.html",
        lambda connection: pages.run_page(connection, run_id),
        lambda connection, page: {
            "metrics": pictures.run_pictures(connection, page, node),
            "functions": pictures.function_pictures(connection, page),
        },
        node=node,
    )


async def kernel_view(request: Request, datasette: Datasette) -> Response:
    """One kernel."""
    kernel_id = _key(request)
    return await _respond(
        request,
        datasette,
        "sistasks_kernel.html",
        lambda connection: pages.kernel_page(connection, kernel_id),
        lambda _, page: pictures.kernel_pictures(page),
    )


async def metric_view(request: Request, datasette: Datasette) -> Response:
    """One metric; `statistic=`, `environment=`, `kernel=` and `before=` choose what is shown."""
    name, asked = _key(request), request.args.get
    return await _respond(
        request,
        datasette,
        "sistasks_metric.html",
        lambda connection: pages.metric_page(
            connection,
            name,
            statistic=asked("statistic") or "p50",
            environment_id=asked("environment") or "",
            kernel=asked("kernel") or "",
            before=_whole(asked("before") or ""),
        ),
        pictures.metric_pictures,
    )


async def artifact_view(request: Request, datasette: Datasette) -> evidence.Streamed:
    """One file that was kept as evidence."""
    history, number = datasette.get_database(DATABASE), _whole(_key(request))

    async def find() -> StoredArtifact | None:
        found: StoredArtifact | None = await history.execute_fn(
            lambda connection: evidence.find_artifact(connection, number)
        )
        return found

    return await evidence.respond(history.store, find)


async def _respond(
    request: Request,
    datasette: Datasette,
    template: str,
    make: Callable[[sqlite3.Connection], Row | None],
    draw: Callable[[sqlite3.Connection, Row], object],
    **more: object,
) -> Response:
    """A page from what is asked of the history, or as JSON where the address says so."""
    as_json = bool(request.url_vars["json"])

    def work(connection: sqlite3.Connection) -> tuple[Row | None, object]:
        page = make(connection)
        return page, None if page is None or as_json else draw(connection, page)

    page, drawn = await datasette.get_database(DATABASE).execute_fn(work)
    if page is None:
        raise NotFound("The history does not know it")
    if as_json:
        return Response.json(page)
    context = {"page": page, "pictures": drawn, "alternate_url_json": f"{request.path}.json", **more}
    html = await datasette.render_template(template, context, request=request, view_name="sistasks")
    return Response.html(html, headers={"cache-control": "no-cache"})


def _key(request: Request) -> str:
    return str(tilde_decode(request.url_vars["key"]))


def _whole(text: str) -> int | None:
    """A number of a row, or None for what cannot be one."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
    return number if 0 <= number <= _LARGEST else None
