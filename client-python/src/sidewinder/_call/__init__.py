"""One call inside a worker, from its frame to its ending.

`request` is what it asks for, as many others do; `call` is what the runtime keeps of it; `strike` is how it
hears, in mid-computation, that nobody waits; `attempt` runs the tool and makes an ending of whatever happens;
`raising` turns exceptions into answers; `endings` keeps endings until they are heard.
"""
