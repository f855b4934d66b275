# A generation in which nobody was ever ready gives up as a whole, not five times per slot.
policy workers=6..6
0ms    start -> spawn 0.1 g0, spawn 1.1 g0, spawn 2.1 g0, spawn 3.1 g0, spawn 4.1 g0, spawn 5.1 g0
10ms   exit 0.1
11ms   exit 1.1
12ms   exit 2.1
13ms   exit 3.1
14ms   exit 4.1 -> report SlotFatal 4, report SlotFatal 0, report SlotFatal 1, report SlotFatal 2
       -> report SlotFatal 3, report GenerationFatal g0
       see 5=STARTING phase=Serving
15ms   exit 5.1 -> report SlotFatal 5
       see phase=Fatal
# Repaired and reloaded: everybody again, on a clean sheet.
60s    reload   -> spawn 0.2 g1, spawn 1.2 g1, spawn 2.2 g1, spawn 3.2 g1, spawn 4.2 g1, spawn 5.2 g1
61s    exit 0.2
61100ms wait    -> spawn 0.3 g1
