# A worker that never says hello is killed, and counts as an early death once it is gone.
policy workers=1..1 headroom=1 start-timeout=1s kill=2s
0ms    start                  -> spawn 0.1 g0
1s     wait                   -> kill 0.1 StartTimeout
       see 0=STOPPING processes=1
# Too late.
1100ms ready 0.1
       see 0=STOPPING
# Not even the kernel gets rid of it: its place is not free.
3s     wait                   -> report Unkillable 0.1
       see 0=STOPPING/unkillable
4s     exit 0.1
4100ms wait                   -> spawn 0.2 g0
5s     ready 0.2
