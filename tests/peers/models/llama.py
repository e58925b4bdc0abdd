"""llama.cpp's own server: llama.py WEIGHTS PORT. Four slots, one thread: more are slower on a busy machine."""
import signal
import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.port = int(sys.argv[2])
params.hostname = "127.0.0.1"
params.n_parallel = 4
params.n_ctx = 2048 * 4
for cpu in (params.cpuparams, params.cpuparams_batch):
    cpu.n_threads = 1
    cpu.poll = 0
params.cont_batching = params.use_jinja = params.endpoint_slots = True
params.warmup = False
params.model_alias = "smollm2-135m"
server = xllamacpp.Server(params)
print("ready", flush=True)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
