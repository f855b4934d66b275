"""How a call is made: over HTTP, over gRPC, or in the program that has the workers."""
