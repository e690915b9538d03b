from rxchain.engine import operator, call
@operator
def map(fn):
    async def step(item):
        yield await call(fn, item)
    return step
