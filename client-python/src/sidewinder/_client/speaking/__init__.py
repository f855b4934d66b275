"""What is said to a daemon and what it says, as messages on one side and Python's values on the other.

asking      one call: arguments and options to a request, a payload to a value
looking     questions and orders
seen        pools, workers, tools and events as records
statuses    a gRPC status to an exception
"""

from __future__ import annotations
