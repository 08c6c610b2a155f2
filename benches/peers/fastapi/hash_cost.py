"""Milliseconds of CPU that one Argon2id verification takes in the C reference, for as many times as are asked for."""

import sys
import time

import argon2

hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
stored = hasher.hash("correct horse battery staple")
hasher.verify(stored, "correct horse battery staple")
times = int(sys.argv[1])
began = time.process_time()
for _ in range(times):
    hasher.verify(stored, "correct horse battery staple")
print((time.process_time() - began) / times * 1000)
