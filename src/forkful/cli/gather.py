"""From options to what a run is made of. Every function here checks all it can and writes nothing,
but for opening the journal.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import forkful
from forkful.cli import inputs
from forkful.cli.errors import CommandError
from forkful.cli.inputs import Source
from forkful.cli.journal import Journal, Resume
from forkful.cli.plan import Halt, Plan
from forkful.cli.shell import CommandLine
from forkful.cli.target import Target
from forkful.cli.worker import Work
from forkful.cpus import usable_cpus


@dataclass(frozen=True)
class Options:
    """The command line as it was given; the attributes are the options."""

    words: tuple[str, ...]
    shell: str | None
    use_shell: bool
    files: tuple[str, ...]
    lines: str | None
    jsonl: str | None
    kwargs: bool
    jobs: int | None
    timeout: float | None
    retries: int
    retry_on: tuple[str, ...]
    backoff: float
    halt: str
    keep_order: bool
    max_tasks_per_worker: int | None
    max_memory_per_worker: int | None
    start_method: str | None
    output: Path | None
    journal: Path | None
    resume: bool
    resume_failed: bool
    progress: str
    dry_run: bool


def work(options: Options) -> tuple[Work, tuple[str, ...]]:
    """Find out what is to be done to each item, without loading it. Return it and the words that
    are inputs.

    Raises:
        CommandError: FUNC or COMMAND is missing or malformed, or options contradict each other.
    """
    if options.kwargs and options.jsonl is None:
        raise CommandError("--kwargs needs --jsonl: only a JSON object has members")
    if options.shell is not None:
        if options.kwargs:
            raise CommandError("--kwargs is for functions; with --shell the input replaces {}")
        return Work(CommandLine.parse(options.shell, options.use_shell)), options.words
    if options.use_shell:
        raise CommandError("--use-shell needs --shell COMMAND")
    if not options.words:
        raise CommandError(
            "give FUNC, such as package.module:function, or --shell COMMAND"
            " (see forkful map --help)"
        )
    return Work(Target.parse(options.words[0]), options.kwargs), options.words[1:]


def plan(options: Options, work: Work) -> Plan:
    """Load the function, to see that it is there, and fix how the run is made.

    Raises:
        CommandError: The function cannot be loaded, or an option names something that is not there.
    """
    if isinstance(work.what, Target):
        work.what.load()
    if options.retry_on and not options.retries:
        raise CommandError("--retry-on needs --retries N")
    return Plan(
        work=work,
        jobs=options.jobs or usable_cpus(),
        timeout=options.timeout,
        retries=options.retries,
        retry_on=tuple(map(_exception, options.retry_on)) or (Exception,),
        backoff=options.backoff,
        halt=Halt(options.halt),
        ordered=options.keep_order,
        max_tasks=options.max_tasks_per_worker,
        max_memory=options.max_memory_per_worker,
        start_method=options.start_method,
    )


def _exception(name: str) -> type[BaseException]:
    """Find the exception class that ``--retry-on`` names: a builtin, one of forkful's, or
    ``package.module.Name``.
    """
    module, _, attribute = name.replace(":", ".").rpartition(".")
    try:
        owners = [import_module(module)] if module else [builtins, forkful]
    except ImportError as error:
        raise CommandError(f"--retry-on {name!r}: {error}") from error
    found = next((getattr(owner, attribute) for owner in owners if hasattr(owner, attribute)), None)
    if not isinstance(found, type) or not issubclass(found, BaseException):
        raise CommandError(
            f"--retry-on {name!r}: there is no such exception"
            " (give OSError, TaskTimeout or package.module.Name)"
        )
    return found


def source(options: Options, words: tuple[str, ...], standard_input: int) -> Source:
    """Open the inputs.

    Args:
        options: The options.
        words: The inputs among the arguments.
        standard_input: The descriptor to read where nothing else is given.

    Raises:
        CommandError: Two kinds of inputs are given, or they cannot be read.
    """
    kinds = {
        "arguments": bool(words),
        "--files": bool(options.files),
        "--lines": options.lines is not None,
        "--jsonl": options.jsonl is not None,
    }
    given = [kind for kind, is_given in kinds.items() if is_given]
    if len(given) > 1:
        raise CommandError(f"inputs come from {' and from '.join(given)}; give one of them")
    if words:
        return inputs.from_arguments(words)
    if options.files:
        return inputs.from_globs(options.files)
    if options.jsonl is not None:
        return inputs.from_json_lines(options.jsonl, standard_input, options.kwargs)
    if options.lines is None:
        inputs.greet_terminal(standard_input)
    return inputs.from_lines(options.lines or "-", standard_input)


def other_files(options: Options) -> tuple[str, ...]:
    """Return the files of this run that its output must not overwrite."""
    paths = (options.lines, options.jsonl, options.journal)
    return tuple(str(path) for path in paths if path is not None and path != "-")


def journal(options: Options, work: Work, source: Source) -> Journal | None:
    """Open the journal, if there is to be one.

    Raises:
        CommandError: It cannot be used, or the options ask to resume without one.
    """
    if options.resume and options.resume_failed:
        raise CommandError(
            "--resume already runs the failures again; give --resume or --resume-failed"
        )
    resume = (
        Resume.FAILED
        if options.resume_failed
        else Resume.UNDONE
        if options.resume
        else Resume.REFUSE
    )
    if options.journal is None:
        if resume is not Resume.REFUSE:
            raise CommandError("--resume and --resume-failed need --journal FILE")
        return None
    return Journal(options.journal, f"{work.name} over {source.name}", resume)
