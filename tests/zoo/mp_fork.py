"""``multiprocessing`` by fork: plain copies of the worker."""

import multiprocessing

import mp_workers

if __name__ == "__main__":
    mp_workers.work(multiprocessing.get_context("fork"))
