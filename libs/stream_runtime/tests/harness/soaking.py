"""Plays histories of the runtime for a while, or one again, for ``npm run soak``.

A violated promise ends the run with the seed (``--seed N`` plays it again) and the whole history (``--history JSON``).
With ``--mutated``, mutated invocations are played instead. With ``--calls``, generated calls of the services with AWS's
JSON protocols go through boto3's client and the lean one, and are compared.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import random
import sys

import batches
import mutated_invocations
from chains import check_chain, generate_chain
from compared_calls import compared_calls
from generated_calls import json_services, operations_of
from histories import History, generate
from playing import environment, play, quiet
from simulated_aws import SimulatedAws
from stopping import Stop, any_seed
from two_clients import Way

GARBAGE_THRESHOLD = 200_000
"""Objects between two collections of garbage, each of which takes as long as several histories."""


def soak(arguments: argparse.Namespace) -> int:
    """Play what the arguments of scripts/soak.py ask for, and say what came of it; returns the exit code."""
    environment()
    stop = Stop()
    if arguments.first is None:
        arguments.first = any_seed()
    if arguments.history is None and arguments.seed is None:
        print(f"From seed {arguments.first}", file=sys.stderr, flush=True)
    if arguments.mutated:
        _play_mutated(arguments, stop)
    elif arguments.calls:
        _compare_calls(arguments, stop)
    elif arguments.history is not None:
        _check(arguments.history)
    elif arguments.seed is not None:
        check_chain(generate_chain(random.Random(arguments.seed)))
        history = generate(random.Random(arguments.seed))
        print(history.to_json(), flush=True)
        _check(history)
    else:
        _play(arguments, stop)
    return stop.code


def _play(arguments: argparse.Namespace, stop: Stop) -> None:
    gc.set_threshold(GARBAGE_THRESHOLD, 1_000, 1_000)
    played, calls, failures = 0, 0, 0
    for seed in stop.seeds(arguments):
        try:
            if seed % 8 == 0:
                check_chain(generate_chain(random.Random(seed)))
            aws = _check(generate(random.Random(seed)))
        except Exception:
            print(f"seed {seed} broke a promise; play it again with --seed {seed}", file=sys.stderr, flush=True)
            raise
        played += 1
        calls += sum(aws.calls.values())
        failures += len(aws.injected)
    print(
        f"{played} histories from seed {arguments.first}: {calls} calls, {failures} failures injected, nothing broken"
    )


def _play_mutated(arguments: argparse.Namespace, stop: Stop) -> None:
    with quiet():
        costs = [mutated_invocations.check(seed) for seed in stop.seeds(arguments)]
    print(
        f"{len(costs)} mutated invocations, the first with seed "
        f"{arguments.first if arguments.seed is None else arguments.seed}: "
        f"{sum(cost.refused for cost in costs)} refused as a whole, of the others every record is accounted for; "
        f"at most {max((cost.seconds for cost in costs), default=0.0):.2f} s "
        f"and {max((cost.bytes for cost in costs), default=0) >> 20} MiB"
    )


def _compare_calls(arguments: argparse.Namespace, stop: Stop) -> None:
    compared, services = 0, set()
    for seed in stop.seeds(arguments):
        for service in random.Random(seed).sample(json_services(), 4) if arguments.seed is None else json_services():
            with compared_calls() as calls:
                for operation in itertools.takewhile(lambda _: not stop.code, operations_of(service)):
                    calls.check(operation, seed)
                    compared += 1
            services.add(service)
            if stop.code:
                break
    print(f"{compared} calls of {len(services)} services from seed {arguments.first}, all as botocore makes them")


def _check(history: History) -> SimulatedAws:
    """Play a history; one of eight through sockets, mostly with the lean client."""
    ways: dict[int, Way] = {1: "lean", 9: "lean", 5: "boto3"}
    aws = play(history, over_sockets=ways.get(history.seed % 16))
    batches.compare(history, aws)
    return aws
