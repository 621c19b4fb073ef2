"""Requests to servers on this machine, each on a new connection and without loading certificates.

A call of ``httpx.get`` loads the certificates of all authorities first, which takes longer than the
request.
"""

from __future__ import annotations

from functools import partial

import httpx2 as httpx

get = partial(httpx.get, verify=False)
post = partial(httpx.post, verify=False)
