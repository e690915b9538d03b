"""The catalogue: reactivex's operators over functions of either colour, one operator a file.

What is here is only what rxchain does better, or must do itself to fuse a chain; reactivex's own operators can stand
before and after a chain.
"""

from rxchain.operators._batch import batch as batch
from rxchain.operators._buffer import buffer as buffer
from rxchain.operators._catch import catch as catch
from rxchain.operators._concat import concat as concat
from rxchain.operators._concat_map import concat_map as concat_map
from rxchain.operators._count import count as count
from rxchain.operators._debounce import debounce as debounce
from rxchain.operators._default_if_empty import default_if_empty as default_if_empty
from rxchain.operators._delay import delay as delay
from rxchain.operators._distinct import distinct as distinct
from rxchain.operators._distinct_until_changed import distinct_until_changed as distinct_until_changed
from rxchain.operators._enumerate import enumerate as enumerate
from rxchain.operators._filter import filter as filter
from rxchain.operators._first import first as first
from rxchain.operators._flat_map import flat_map as flat_map
from rxchain.operators._interval import interval as interval
from rxchain.operators._last import last as last
from rxchain.operators._map import map as map
from rxchain.operators._merge import merge as merge
from rxchain.operators._pairwise import pairwise as pairwise
from rxchain.operators._reduce import reduce as reduce
from rxchain.operators._retry import retry as retry
from rxchain.operators._rx import rx as rx
from rxchain.operators._saga import saga as saga
from rxchain.operators._sample import sample as sample
from rxchain.operators._scan import scan as scan
from rxchain.operators._share import share as share
from rxchain.operators._skip import skip as skip
from rxchain.operators._skip_while import skip_while as skip_while
from rxchain.operators._starmap import starmap as starmap
from rxchain.operators._start_with import start_with as start_with
from rxchain.operators._take import take as take
from rxchain.operators._take_while import take_while as take_while
from rxchain.operators._tap import tap as tap
from rxchain.operators._throttle import throttle as throttle
from rxchain.operators._timeout import timeout as timeout
from rxchain.operators._unbatch import unbatch as unbatch
from rxchain.operators._window import window as window
from rxchain.operators._zip import zip as zip

__all__ = [
    "batch",
    "buffer",
    "catch",
    "concat",
    "concat_map",
    "count",
    "debounce",
    "default_if_empty",
    "delay",
    "distinct",
    "distinct_until_changed",
    "enumerate",
    "filter",
    "first",
    "flat_map",
    "interval",
    "last",
    "map",
    "merge",
    "pairwise",
    "reduce",
    "retry",
    "rx",
    "saga",
    "sample",
    "scan",
    "share",
    "skip",
    "skip_while",
    "starmap",
    "start_with",
    "take",
    "take_while",
    "tap",
    "throttle",
    "timeout",
    "unbatch",
    "window",
    "zip",
]
