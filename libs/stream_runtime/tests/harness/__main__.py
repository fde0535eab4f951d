"""Play histories for a while, or one again: ``npm run soak -- --minutes 5``.

A violated promise ends the run with the seed (``--seed N`` plays it again) and the whole history (``--history JSON``).
With ``--mutated``, mutated invocations are played instead. With ``--calls``, generated calls of the services with AWS's
JSON protocols go through boto3's client and the lean one, and are compared.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time

import batches
import mutated_invocations
from chains import check_chain, generate_chain
from compared_calls import compared_calls
from generated_calls import json_services, operations_of
from histories import History, generate
from playing import environment, play, quiet
from simulated_aws import SimulatedAws
from two_clients import Way


def main() -> int:
    """Read the arguments, play, and say what came of it."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to go on")
    parser.add_argument("--seed", type=int, help="play the history of this seed only")
    parser.add_argument("--history", help="play this history (JSON) only")
    parser.add_argument("--from", dest="first", type=int, help="the first seed; by chance if not given")
    parser.add_argument("--mutated", action="store_true", help="play mutated invocations")
    parser.add_argument("--calls", action="store_true", help="compare calls of AWS's operations")
    arguments = parser.parse_args()
    environment()
    if arguments.mutated:
        return _play_mutated(arguments)
    if arguments.calls:
        return _compare_calls(arguments)
    if arguments.history:
        _check(History.from_json(arguments.history))
        return 0
    if arguments.seed is not None:
        check_chain(generate_chain(random.Random(arguments.seed)))
        history = generate(random.Random(arguments.seed))
        print(history.to_json(), flush=True)
        _check(history)
        return 0
    first = random.SystemRandom().randrange(1 << 40) if arguments.first is None else arguments.first
    end = time.monotonic() + 60 * arguments.minutes
    seed, calls, failures = first, 0, 0
    while time.monotonic() < end:
        try:
            if seed % 8 == 0:
                check_chain(generate_chain(random.Random(seed)))
            aws = _check(generate(random.Random(seed)))
        except BaseException:
            print(f"seed {seed} broke a promise; play it again with --seed {seed}", file=sys.stderr, flush=True)
            raise
        calls += sum(aws.calls.values())
        failures += len(aws.injected)
        seed += 1
    print(f"{seed - first} histories from seed {first}: {calls} calls, {failures} failures injected, nothing broken")
    return 0


def _play_mutated(arguments: argparse.Namespace) -> int:
    first = random.SystemRandom().randrange(1 << 40) if arguments.first is None else arguments.first
    seeds = itertools.count(first) if arguments.seed is None else iter((arguments.seed,))
    end = time.monotonic() + 60 * arguments.minutes
    with quiet():
        in_time = itertools.takewhile(lambda _: time.monotonic() < end, seeds)
        costs = [mutated_invocations.check(seed) for seed in in_time]
    print(
        f"{len(costs)} mutated invocations, the first with seed {first if arguments.seed is None else arguments.seed}: "
        f"{sum(cost.refused for cost in costs)} refused as a whole, of the others every record is accounted for; "
        f"at most {max(cost.seconds for cost in costs):.2f} s and {max(cost.bytes for cost in costs) >> 20} MiB"
    )
    return 0


def _compare_calls(arguments: argparse.Namespace) -> int:
    first = random.SystemRandom().randrange(1 << 40) if arguments.first is None else arguments.first
    seeds = itertools.count(first) if arguments.seed is None else iter((arguments.seed,))
    end = time.monotonic() + 60 * arguments.minutes
    compared, services = 0, set()
    for seed in itertools.takewhile(lambda _: time.monotonic() < end, seeds):
        for service in random.Random(seed).sample(json_services(), 4) if arguments.seed is None else json_services():
            with compared_calls() as calls:
                for operation in operations_of(service):
                    calls.check(operation, seed)
                    compared += 1
            services.add(service)
    print(f"{compared} calls of {len(services)} services from seed {first}, all as botocore makes them")
    return 0


def _check(history: History) -> SimulatedAws:
    """Play a history; one of eight through sockets, mostly with the lean client."""
    ways: dict[int, Way] = {1: "lean", 9: "lean", 5: "boto3"}
    aws = play(history, over_sockets=ways.get(history.seed % 16))
    batches.compare(history, aws)
    return aws


if __name__ == "__main__":
    sys.exit(main())
