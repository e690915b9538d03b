"""What is done about failures: decisions without I/O, each of them one node's or one nested chain's own."""

from rxchain.policies._breaker import BreakerChange, BreakerSnapshot, CircuitBreaker
from rxchain.policies._budget import RetryBudget, RetryBudgetStatistics
from rxchain.policies._bulkhead import Bulkhead, BulkheadSnapshot
from rxchain.policies._dead_file import DeadLetterFile, Purged
from rxchain.policies._dead_letter import DeadLetter
from rxchain.policies._dead_letters import DeadLetters, DeadLettersStatistics
from rxchain.policies._dead_replay import Replayed
from rxchain.policies._dead_values import Opaque
from rxchain.policies._error_handler import ErrorHandler, ErrorStatistics
from rxchain.policies._fallback import Fallback, recovered
from rxchain.policies._guard import Declared, guarded, lifted
from rxchain.policies._hedge import Hedge
from rxchain.policies._history import attempt_count, attempts_of
from rxchain.policies._lease import Lease, LockBackend, fence, lease
from rxchain.policies._local_locks import LockSnapshot
from rxchain.policies._lock import Keys, Lock
from rxchain.policies._notify import Notification, Notifier, Throttled
from rxchain.policies._rate_limit import RateLimit
from rxchain.policies._resume import Resume
from rxchain.policies._retry import ResultRefused, Retry
from rxchain.policies._retry_after import retry_after
from rxchain.policies._timeout import Timeout
from rxchain.policies._undo import Undo, compensation
from rxchain.policies._waits import Wait, exponential, fixed, linear

__all__ = [
    "BreakerChange",
    "BreakerSnapshot",
    "Bulkhead",
    "BulkheadSnapshot",
    "CircuitBreaker",
    "DeadLetter",
    "DeadLetterFile",
    "DeadLetters",
    "DeadLettersStatistics",
    "Declared",
    "ErrorHandler",
    "ErrorStatistics",
    "Fallback",
    "Hedge",
    "Keys",
    "Lease",
    "Lock",
    "LockBackend",
    "LockSnapshot",
    "Notification",
    "Notifier",
    "Opaque",
    "Purged",
    "RateLimit",
    "Replayed",
    "ResultRefused",
    "Resume",
    "Retry",
    "RetryBudget",
    "RetryBudgetStatistics",
    "Throttled",
    "Timeout",
    "Undo",
    "Wait",
    "attempt_count",
    "attempts_of",
    "compensation",
    "exponential",
    "fence",
    "fixed",
    "guarded",
    "lease",
    "lifted",
    "linear",
    "recovered",
    "retry_after",
]
