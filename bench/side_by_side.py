"""Put questions to all their entries in alternating rounds; print, keep and check the answers.

The machine is never quiet, so no figure stands alone: in each round every entry is measured once,
each time in a fresh process, and the order moves on by one from round to round. What is reported
is the median of the rounds, and ratios of medians of the same run.
"""

import argparse
import compileall
import importlib.util
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import machine
import tables
from fresh import MeasurementError, measure
from question import Answer, Figures, Question


def main(questions: Sequence[Question]) -> None:
    """Run the questions that the command line asks for, and exit.

    Exit status: 0, or 1 if ``--check`` is given and a "must" is missed or cannot be told.
    """
    options = _parse()
    chosen = [q for q in questions if not options.only or any(w in q.name for w in options.only)]
    if options.list or not chosen:
        print("\n".join(f"{q.name:32} {q.title}" for q in questions))
        sys.exit(0 if options.list else f"no question's name contains {' or '.join(options.only)}")

    _compile("forkful")
    facts = machine.describe()
    tables.show_machine(facts)
    answers = []
    try:
        for question in chosen:
            answers.append(ask(question, options.rounds, options.quick, options.entry))
            facts["load_at_end"] = machine.load()
            if options.json:
                _keep(options, facts, answers)
            tables.show(answers[-1])
    except KeyboardInterrupt:
        sys.exit(130)
    if options.check:
        sys.exit(_check(answers))
    sys.exit(0)


def _compile(package: str) -> None:
    """Do what pip has done for the peers: an editable package may have no bytecode, and imports would compile it."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        compileall.compile_dir(folder, quiet=1)


def _keep(options: argparse.Namespace, facts: dict[str, Any], answers: Sequence[Answer]) -> None:
    """Write all figures so far: a run takes long, and one that is cut short keeps what it has."""
    options.json.parent.mkdir(parents=True, exist_ok=True)
    run = {
        "command": options.command,
        "quick": options.quick,
        "machine": facts,
        "answers": [a.as_json() for a in answers],
    }
    options.json.write_text(json.dumps(run, indent=1) + "\n")


def ask(
    question: Question, rounds: int | None, quick: bool, only: Sequence[str] | None = None
) -> Answer:
    """Measure every entry of a question (or those named in `only`) `rounds` times, in turn.

    An entry that fails once is not asked again: the failure is shown beside what it gave before.
    """
    rounds = rounds or (min(question.rounds, 3) if quick else question.rounds)
    normal = question.quick if quick else question.count
    figures = {}
    for name, entry in question.entries.items():
        count = normal if entry.count is None else min(entry.count, normal)
        asked = not only or name in only
        figures[name] = Figures(count, entry.aside, entry.absent if asked else "not asked")
    names = list(figures)
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            if figures[name].absent or figures[name].failure:
                continue
            _progress(f"{question.name}  round {turn + 1} of {rounds}  {name}")
            try:
                figures[name].values.append(measure(question, name, figures[name].count))
            except MeasurementError as error:
                figures[name].failure = str(error)
    _progress("")
    return Answer(question, figures, normal, rounds)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _check(answers: Sequence[Answer]) -> int:
    """Print every "must" with its verdict; return the exit status."""
    musts = [
        (answer, bound) for answer in answers for bound in answer.question.bounds if bound.must
    ]
    verdicts = [(answer.question.name, *answer.judge(bound)) for answer, bound in musts]
    for name, kept, text in verdicts:
        print(f"{'ok  ' if kept else 'FAIL'} {name}: {text}")
    if not verdicts:
        print("FAIL nothing to check: none of the chosen questions has a must")
    return 0 if verdicts and all(kept for _, kept, _ in verdicts) else 1


def same_again(program: Path, words: Sequence[str]) -> str:
    """Return the command that measures the same from the project's root, with the options `words`."""
    said = shlex.join(words)
    if program.stem == "__main__":
        return f'make bench ARGS="{said}"' if said else "make bench"
    return f"python {program.parent.name}/{program.name} {said}".rstrip()


def _parse() -> argparse.Namespace:
    """Parse the command line; `command` is one that does the same, wherever its figures go."""
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser = argparse.ArgumentParser(
        description="Measure forkful beside its peers, in one run.", parents=[where]
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer operations and at most 3 rounds: a look")
    add("--rounds", type=int, metavar="N", help="measurements of each entry")
    add("--only", action="append", metavar="WORD", help="questions whose name contains it; again")
    add("--entry", action="append", metavar="NAME", help="this entry of a table alone; again")
    add("--check", action="store_true", help="exit with 1 if a 'must' is missed")
    add("--list", action="store_true", help="list the questions and stop")
    options = parser.parse_args()
    options.command = same_again(Path(sys.argv[0]).absolute(), where.parse_known_args()[1])
    return options
