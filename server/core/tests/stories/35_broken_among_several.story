# A generation that cannot start takes nobody away, with however much room it is tried.
policy workers=2..2 headroom=2 deaths=2
0ms    start                  -> spawn 0.1 g0, spawn 1.1 g0
1s     ready 0.1
1s     ready 1.1
2s     reload                 -> spawn 2.1 g1, spawn 3.1 g1
3s     exit 2.1
3100ms wait                   -> spawn 2.2 g1
4s     exit 2.2               -> report SlotFatal 2, report GenerationFatal g1
5s     exit 3.1               -> report SlotFatal 3
       see 0=RUNNING/Reload/open 1=RUNNING/Reload/open
