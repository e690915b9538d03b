"""The reference interpreter: the generators nested as they stand. Slow, and obviously right.

The compiled program must do what this does, always; the property tests hold it to that.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, closing
from typing import Any

from rxchain.engine._effects import Effects, effects, enter_scope, take_back
from rxchain.engine._failure import ItemFailed, Label, note, noted, raisable
from rxchain.engine._fold import folded
from rxchain.engine._operator import Atom, StopStream
from rxchain.engine._support import aclose, close

OnError = Callable[[Exception, int, object, object], Awaitable[None]]
"""What is told of a failed item: the error, the step's number, the source's item, the value that entered the step."""


async def interpret(
    operators: list[Atom],
    source: Any,
    label: Label,
    on_error: OnError | None = None,
    *,
    first: int = 0,
) -> AsyncGenerator[Any, None]:
    """Run *operators*, the chain's from number *first* on, over *source*."""
    count = next((i for i, op in enumerate(operators) if op.definition.syntax.over), len(operators))
    inner = _interpret_steps(operators[:count], source, label, on_error, first)
    if count < len(operators):
        over = operators[count].definition.open(operators[count].values).step
        whole = noting(over(inner), label, first + count, on_error)
        inner = interpret(operators[count + 1 :], whole, label, on_error, first=first + count + 1)
    async with aclosing(inner):
        async for item in inner:
            yield item


async def noting(generator: Any, label: Label, step: int, on_error: OnError | None = None) -> AsyncGenerator[Any, None]:
    """An operator over the whole stream, its errors noted; those of an item told to *on_error*."""
    try:
        async for item in generator:
            if type(item) is not ItemFailed:
                yield item
                continue
            note(item.error, label, step, item.item)
            if on_error is None:
                raise item.error
            await on_error(item.error, step, item.item, item.item)
    except Exception as error:
        if not noted(error):
            note(error, label, step, None, has_value=False)
        raise
    finally:
        await aclose(generator)


async def _interpret_steps(
    operators: list[Atom], source: Any, label: Label, on_error: OnError | None, first: int
) -> AsyncGenerator[Any, None]:
    stages = [op.definition.open(op.values) for op in operators]
    undoes_from = next((k for k, op in enumerate(operators) if folded(op).undoes), None)
    ended = -1
    failed: tuple[int, object] = (0, None)
    handlers: Exception | None = None  # what on_error itself has raised: nobody's failure

    async def parts(k: int, made: Any, value: object) -> AsyncGenerator[Any, None]:
        """What step k makes of one value; an error or an end further down never enters here."""
        nonlocal ended, failed
        try:
            if hasattr(made, "__aiter__"):
                async with aclosing(made):
                    async for part in made:
                        yield part
            else:
                with closing(made):
                    for part in made:
                        yield part
        except StopStream:
            ended = k
            raise
        except Exception as raised:
            error = raisable(raised)
            note(error, label, first + k, value, has_value=value is not _NOTHING)
            failed = (k, value)
            if error is raised:
                raise
            raise error  # noqa: B904 (its cause is set)

    async def follow(k: int, made: Any, value: object, item: object) -> AsyncGenerator[Any, None]:
        """What leaves the chain of what step k makes; if a part fails further down, the others go on."""
        async with aclosing(parts(k, made, value)) as mine:
            async for part in mine:
                outputs = enter(k + 1, part, item)
                if undoes_from is None or k < undoes_from:  # behind that an item is one item, and fails as a whole
                    outputs = guarded(outputs, item)
                async with aclosing(outputs) as rest:
                    async for out in rest:
                        yield out

    async def enter(k: int, value: object, item: object) -> AsyncGenerator[Any, None]:
        if k == len(stages):
            if undoes_from is not None:
                effects().settle()
            yield value
            return
        scope = Effects()
        if k == undoes_from:
            enter_scope(scope)
        try:
            async with aclosing(follow(k, stages[k].step(value), value, item)) as outputs:
                async for out in outputs:
                    yield out
        except BaseException as error:
            await take_back(scope, error)
            raise

    async def guarded(outputs: AsyncGenerator[Any, None], item: object) -> AsyncGenerator[Any, None]:
        """One item's outputs; its failure is its own."""
        nonlocal handlers
        try:
            async with aclosing(outputs):
                async for out in outputs:
                    yield out
        except Exception as error:
            if on_error is None or error is handlers:
                raise
            k, value = failed
            try:
                await on_error(error, first + k, item, None if value is _NOTHING else value)
            except Exception as raised:
                handlers = raised
                raise

    items: Any = source
    try:
        for k in reversed(range(len(stages))):
            if (start := stages[k].start) is not None:
                async with aclosing(guarded(follow(k, start(), _NOTHING, None), None)) as outputs:
                    async for out in outputs:
                        yield out
        try:
            asynchronous = hasattr(source, "__aiter__")
            items = aiter(source) if asynchronous else iter(source)
            while True:
                item = await anext(items, _NOTHING) if asynchronous else next(items, _NOTHING)
                if item is _NOTHING:
                    break
                async with aclosing(guarded(enter(0, item, item), item)) as outputs:
                    async for out in outputs:
                        yield out
        except Exception as error:
            if first == 0 and error is not handlers and not noted(error):
                note(error, label, -1, None)
            raise
    except StopStream:
        pass
    finally:
        await aclose(items) if hasattr(items, "__anext__") else close(items)
    for k, stage in enumerate(stages):
        if ended < k and stage.flush is not None:
            try:
                async with aclosing(guarded(follow(k, stage.flush(), _NOTHING, None), None)) as outputs:
                    async for out in outputs:
                        yield out
            except StopStream:
                pass


_NOTHING: Any = object()
