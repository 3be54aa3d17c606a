"""onrecord campaign: list, start, pause, mode, pace, replay, and why is it not dialing?"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from api.asking import Server
from api.speaking import NOT_HEALTHY, Json, say, table
from config.settings import load_settings
from dialer.campaigns import Mode

app = typer.Typer(no_args_is_help=True, help="Campaigns of the running server")


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="campaign")


CampaignId = Annotated[str, typer.Argument(help="The campaign's id, from: onrecord campaign list")]


def _server() -> Server:
    return Server.of_this_machine(load_settings())


@app.command("list")
def list_campaigns(as_json: Json = False) -> None:
    """What each campaign does and how far it is."""
    found = _server().ask("GET", "campaigns")
    heads = ("id", "name", "state", "mode", "calls now", "attempted", "remaining", "answered", "abandoned")
    keys = ("id", "name", "state", "mode", "calls_now", "attempted", "remaining", "answered", "abandoned")

    def draw(console: Console) -> None:
        rows = [[one[key] for key in keys] for one in found["items"]]
        console.print(table("Campaigns", heads, rows) if rows else "No campaigns yet: onrecord import makes the first.")

    say(as_json, found, draw)


@app.command()
def start(campaign_id: CampaignId, as_json: Json = False) -> None:
    """Let it dial."""
    _moved(as_json, _server().ask("POST", "campaigns", campaign_id, "start"))


@app.command()
def pause(campaign_id: CampaignId, as_json: Json = False) -> None:
    """Place no new call; calls in progress go on to their end."""
    _moved(as_json, _server().ask("POST", "campaigns", campaign_id, "pause"))


@app.command()
def mode(
    campaign_id: CampaignId,
    to: Annotated[Mode, typer.Argument(help="manual, preview, progressive or predictive")],
    as_json: Json = False,
) -> None:
    """Switch who decides that a call leaves, while it runs or rests."""
    view = _server().ask("POST", "campaigns", campaign_id, "mode", body={"mode": to.value})
    say(as_json, view, lambda console: console.print(f"{view['name']}: {view['mode']}"))


@app.command()
def pace(campaign_id: CampaignId, as_json: Json = False) -> None:
    """What its pacer said last and why; abandonment over 30 days against target and limit."""
    said = _server().ask("GET", "campaigns", campaign_id, "pace")

    def draw(console: Console) -> None:
        share, drops, answers = said["abandonment_30_days"], said["abandoned_30_days"], said["answered_30_days"]
        console.print(
            f"abandonment over 30 days {share:.2%} ({drops} of {answers}), "
            f"target {said['target']:.2%}, limit {said['limit']:.2%}"
        )
        console.print("no decision yet" if said["place"] is None else f"last decision: place {said['place']}")
        console.print(table("", ("why", ""), sorted(said["why"].items())))

    say(as_json, said, draw)


@app.command()
def replay(campaign_id: CampaignId, as_json: Json = False) -> None:
    """Decide its newest kept decisions again from the facts kept with them; exit code 1 when one differs."""
    found = _server().ask("GET", "campaigns", campaign_id, "decisions")
    rows = [
        (one["line"], one["place"], one["cancel"], one["why"].get("binding", ""), "same" if one["same"] else "DIFFERS")
        for one in found["items"]
    ]
    heads = ("line", "place", "cancel", "held by", "asked again")
    say(as_json, found, lambda console: console.print(table("Decisions", heads, rows) if rows else "None is kept yet."))
    if not all(one["same"] for one in found["items"]):
        raise typer.Exit(NOT_HEALTHY)


def _moved(as_json: bool, view: dict[str, Any]) -> None:
    say(as_json, view, lambda console: console.print(f"{view['name']}: {view['state']}"))


@app.command()
def explain(campaign_id: CampaignId, as_json: Json = False) -> None:
    """Which gates hold it back now, and how many numbers, agents or lines each concerns."""
    said = _server().ask("GET", "campaigns", campaign_id, "explanation")

    def draw(console: Console) -> None:
        console.print("[green]dialing[/]: no gate holds it back" if said["dialing"] else "[red]not dialing[/]")
        for gate in said["gates"]:
            # A line each, whole: on a narrow terminal a table would cut the very words that say why.
            holds = "HOLDS" if gate["holds_back"] else "open"
            words = f"{holds:<6} {gate['name']:<9} {gate['count']:>6}  {gate['detail_en']}  {gate['detail_zh']}"
            console.print(words, soft_wrap=True, markup=False, style="red" if gate["holds_back"] else None)

    say(as_json, said, draw)
