"""The process of a service that verifies the tokens of tests, without users.

`python -m tests.support.with_test_keys MODULE [VERB]...`: its public key is that of
services.common.rpc.testing.
"""

import runpy
import sys

if __name__ == "__main__":
    module = sys.argv.pop(1)
    from services.common.mesh import public_keys
    from services.common.rpc.testing import fetch_keys

    public_keys.fetch_from_users = lambda mesh: fetch_keys
    runpy.run_module(module, run_name="__main__", alter_sys=True)
