# Two long calls without room for a third worker: one lingers, and the other serves on until it is gone.
policy workers=2..2 stop=1s seats=2
0ms    start                  -> spawn 0.1 g0, spawn 1.1 g0
1s     ready 0.1
1s     ready 1.1
2s     submit 1 client=1      -> assign 1 0.1
2s     submit 2 client=1      -> assign 2 1.1
3s     reload
10s    submit 3 client=1      -> assign 3 1.1
       see 0=RUNNING/Reload 1=RUNNING/Reload/open
