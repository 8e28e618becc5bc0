# SPDX-License-Identifier: Apache-2.0
"""What programs need beside data and runs: who signs in, and a widget of notebooks."""

from __future__ import annotations

from typing import Any

from ._errors import Named, UserErrorException


class AbstractAuthentication(Named):
    """Accepted.  Nobody signs in here: datastores have credentials of their own."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def get_authentication_header(self) -> None:
        raise UserErrorException(
            "there is no service to sign in to: the credentials are those of the datastores in config.json"
        )


class InteractiveLoginAuthentication(AbstractAuthentication):
    """By a browser."""


class AzureCliAuthentication(AbstractAuthentication):
    """By the `az` command."""


class ServicePrincipalAuthentication(AbstractAuthentication):
    """By an application's secret, which is forgotten."""


class MsiAuthentication(AbstractAuthentication):
    """By a managed identity."""


class TokenAuthentication(AbstractAuthentication):
    """By a token."""


class RunDetails(Named):
    """A run in a notebook: its table, or one line elsewhere."""

    def __init__(self, run_instance: Any) -> None:
        self._run = run_instance

    def show(self, *_: Any, **__: Any) -> None:
        try:
            from IPython.display import display
        except ImportError:
            print(self._run)
        else:
            display(self._run._run)
