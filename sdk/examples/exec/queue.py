#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A check in Python, by the protocol `json` of the plugin exec: how many files wait in a folder, and for how long.

    components:
      spool:
        plugin: exec
        protocol: json
        command: [/usr/local/lib/checks/queue.py, /var/spool/orders]
        read: [/var/spool/orders]
        warn: {value_files: 100, seconds_oldest: 5m}
"""
import json
import os
import sys
import time

folder = sys.argv[1]
try:
    ages = [time.time() - entry.stat().st_mtime for entry in os.scandir(folder) if entry.is_file()]
    result = {
        "status": "healthy",
        "message": f"{len(ages)} files wait in {folder}",
        "numbers": {"value_files": len(ages), "seconds_oldest": max(ages, default=0)},
        "metrics": [{"name": "team_queue_files", "type": "gauge", "help": "Files that wait", "value": len(ages)}],
    }
except OSError as error:
    result = {"status": "unknown", "message": f"cannot look into {folder}: {error.strerror}"}
print(json.dumps(result))
