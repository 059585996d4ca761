"""Tells which answers became right or wrong from one run to another: python compare_runs.py BEFORE AFTER"""

import sys

from simmer_client import Client

before, after = sys.argv[1:]
with Client() as client:  # SIMMER_SERVER says where
    for point in client.diff_evaluations(before, after):
        print(f"{point.model}: {point.wrong_to_right} became right, {point.right_to_wrong} wrong, of {point.items}")
        for item in point.changed:
            print(f"  {item.prompt_id}: {item.before.extracted}, then {item.after.extracted}; right is {item.gold}")
