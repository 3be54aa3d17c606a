"""A node with doors and no trunk lets time pass: promises settle, deadlines are raised. Category: integration."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from api.serving_house import serve_house
from case_store.intake.placement import parse_placement
from case_store.store import CaseStore
from config.settings import ClientSettings, Settings, StoreSettings, VaultSettings, WebSettings
from dialer.arrivals import first_steps


async def test_what_the_clock_owes_happens_behind_the_doors_alone(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'house.db'}"
    settings = Settings(
        store=StoreSettings(url=url),
        web=WebSettings(port=0, key_file=tmp_path / "key.json"),
        vault=VaultSettings(state=tmp_path / "vault"),
    )
    file = tmp_path / "p.csv"
    file.write_text("案件编号,姓名,欠款金额,本人手机\nA1,甲,100,13812345678\n", encoding="utf-8")
    long_ago = datetime.now(UTC) - timedelta(days=20)
    store = await CaseStore.open(url)
    await store.placements.load(
        parse_placement(file, ClientSettings(name="bank")), long_ago, plan=first_steps(settings)
    )
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve_house(settings, ready.set_result))
    try:
        await asyncio.wait_for(ready, 30)

        async def escalated() -> None:
            number = 0
            while True:
                seen = await store.events.read_after(number, limit=50)
                if "OVERDUE" in [one.facts.get("notice") for one in seen]:
                    return
                number = seen[-1].number if seen else number
                await asyncio.sleep(0.1)

        await asyncio.wait_for(escalated(), 30)
        (action,), _ = await store.agenda.of_day(
            long_ago, datetime.now(UTC), datetime.now(UTC), owner="team-leader", limit=5
        )
        assert action.action == "sweep"
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await store.close()
