"""Serves a GGUF file by llama.cpp's own server (PyPI: `xllamacpp`) until stdin closes; prints its address first."""

import sys
from pathlib import Path

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.use_jinja = True
params.chat_template = Path(__file__).with_name("think.jinja").read_text()
params.n_ctx = 4096
params.n_parallel = 2
params.cpuparams.n_threads = 1
params.warmup = False
params.hostnames = ["127.0.0.1"]
params.port = 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
