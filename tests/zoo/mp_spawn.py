"""``multiprocessing`` by spawn: fresh interpreters beside a resource tracker."""

import multiprocessing

import mp_workers

if __name__ == "__main__":
    mp_workers.work(multiprocessing.get_context("spawn"))
