"""Runs commands on a MongoDB server: mongo_command.py URI DATABASE COMMAND…

Each COMMAND is one in extended JSON; the last one's answer is printed as JSON. Exit 1 with the server's words where one fails.
"""

import sys

import pymongo
from bson import json_util

uri, database, *commands = sys.argv[1:]
client = pymongo.MongoClient(uri, serverSelectionTimeoutMS=10000)
answer = None
try:
    for command in commands:
        answer = client[database].command(json_util.loads(command))
except pymongo.errors.PyMongoError as error:
    sys.exit(str(error))
print(json_util.dumps(answer))
