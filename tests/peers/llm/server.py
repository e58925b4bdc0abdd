"""llama.cpp's own server with a small model: server.py WEIGHTS SLOTS. Prints `ready ADDRESS` once it answers, on a free
port. It has one thread that does not spin: two collapse on a loaded machine."""

import signal
import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_parallel = int(sys.argv[2])
params.n_ctx = 2048 * params.n_parallel
params.hostname = "127.0.0.1"
params.port = 0
for cpu in (params.cpuparams, params.cpuparams_batch):
    cpu.n_threads = 1
    cpu.poll = 0
params.cont_batching = params.use_jinja = True
params.endpoint_metrics = params.endpoint_slots = True
params.warmup = False
params.model_alias = "smollm2-135m"
server = xllamacpp.Server(params)
print("ready", server.listening_address, flush=True)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
