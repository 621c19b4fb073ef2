"""How every strategy of nevergrad does on the noisy bowl that conformance uses, as two tables.

    python docs/reference/sweep_nevergrad.py > table.md

200 evaluations, as many as 12,800 queries pay for, in 64 dimensions; each strategy in a
process of its own, forked, so not on Windows, that is stopped after 10 seconds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from multiprocessing.connection import Connection

import torch

from zobench.errors import ConfigError
from zobench.registry.discovery import load_registry
from zobench.runs.resolved import resolve_plugin
from zobench.runs.search_parts import build_optimizer
from zobench.testing import ToyOracle

EVALUATIONS = 200
SECONDS = 10


def carry_out(strategy: str, answer: Connection) -> None:
    """Sends (share of the bowl's value that is gone, own seconds, points per batch), or an error."""
    torch.set_num_threads(1)
    oracle = ToyOracle()
    oracle.budget = EVALUATIONS * oracle.batch_size
    plugin = resolve_plugin("optimizer", f"nevergrad:{strategy}", {}, load_registry())
    began, inside, done, width = time.process_time(), 0.0, 0, 0
    try:
        optimizer = build_optimizer(plugin, oracle.context(0))
        while done < EVALUATIONS:
            ask = optimizer.ask()
            width, done = len(ask.points), done + len(ask.points)
            before = time.process_time()
            reply = oracle.query(ask)
            inside += time.process_time() - before
            optimizer.tell(ask, reply)
        left = oracle.value(optimizer.recommend())
        answer.send((1.0 - left, time.process_time() - began - inside, width))
    except ConfigError as error:
        answer.send(str(error).removeprefix(f"nevergrad:{strategy} "))
    except Exception as error:  # whatever nevergrad's strategies may raise is what the table tells
        answer.send(f"{type(error).__name__}: {error}".splitlines()[0][:80])


def result(strategy: str) -> tuple[float, float, int] | str:
    """What came back, or why nothing did."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=carry_out, args=(strategy, there), daemon=True)
    process.start()
    there.close()
    try:
        return here.recv() if here.poll(SECONDS) else f"stopped after {SECONDS} s"
    except EOFError:
        return "its process ended without a word"
    finally:
        process.kill()
        process.join()


def main() -> None:
    """Prints both tables: what ran, best first, and what did not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("strategies", nargs="*", help="all of them if none is named")
    wanted = parser.parse_args().strategies
    offer = load_registry().offers["optimizers"]["nevergrad"]
    offer.plugin.load()  # once, before processes are forked
    rows = {name: result(name) for name in wanted or offer.plugin.all_members()}
    ran = {name: row for name, row in rows.items() if not isinstance(row, str)}
    print("| strategy | value gone | points per batch | own time, ms per evaluation |")
    print("| --- | --- | --- | --- |")
    for name, (gone, seconds, width) in sorted(ran.items(), key=lambda item: -item[1][0]):
        print(f"| {name} | {gone:.0%} | {width} | {1000 * seconds / EVALUATIONS:.1f} |")
    print("\n| strategy | why it did not run |\n| --- | --- |")
    for name, row in rows.items():
        if isinstance(row, str):
            print(f"| {name} | {row} |")


if __name__ == "__main__":
    main()
