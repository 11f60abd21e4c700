"""The loadable modules that we have for engines. Each of them is compiled into wheels (setup.py)."""

from cachefleet.engines.clients_module import CLIENTS_SOURCE
from cachefleet.engines.config_module import CONFIG_SOURCE
from cachefleet.engines.iam_module import IAM_SOURCE
from cachefleet.engines.trace_module import TRACE_SOURCE

EVERY_MODULE = (IAM_SOURCE, CONFIG_SOURCE, TRACE_SOURCE, CLIENTS_SOURCE)
