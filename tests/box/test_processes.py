"""Programs that start programs: shells, find, xargs, awk, perl, Python, make, gcc, git and tar do in the box what they do natively.

Each script runs natively and in the box, on the same input, and must write the same and end the same way. Natively it works in a new
directory, in the box in /tmp, so it prints no absolute path of its own. Those that start several programs at once run 20 times more
under different circumstances: what they write is fixed by what they do, not by who is faster.
"""
import json
import shutil
import subprocess
import tempfile

from boxed import BOX_LIKE, BOX_PATH, BUILD, SCRATCH, STORE, ZVM, Result, add_test, first_difference, main, run_boxed, run_native, spec, test, write_script
from harness import Further, Mount

SCRIPTS = SCRATCH / "scripts"
SCRIPTS.mkdir()
INPUT = "".join(f"{(i * 48271) % 97} {'abcdefgh'[i % 8]}\n" for i in range(2000)).encode()

SH, DASH, BASH, PERL, PYTHON, GAWK, MAWK = (f"#!/{p}\n" for p in ("bin/sh", "bin/dash", "bin/bash", "usr/bin/perl", "usr/bin/python3", "usr/bin/gawk -f", "usr/bin/mawk -f"))

# What it does, and the script. WORK is where it may write.
RUNS = [
    ("a pipeline of external commands", SH + "sort | uniq -c | sort -rn | head -n 5\n"),
    ("command substitution, nested", SH + "x=$(sort -u | wc -l); y=`echo hi | tr a-z A-Z`; echo $x $y; echo $(echo $(echo deep | rev) | rev)\n"),
    ("subshells and groups", DASH + "(cd /usr; pwd; exit 3); echo $?; { ls /usr/share/common-licenses | wc -l; cat; } | tail -n 3; ! false; echo $?\n"),
    ("here-documents", BASH + "cat <<X | tr a-z A-Z\nhello $((1 + 2)) $(echo sub)\nX\ncat <<'Y'\n$raw `x`\nY\ncat <<< 'abc' | rev\n"),
    ("a loop at the end of a pipeline", DASH + "ls /usr/share/common-licenses | while read f; do echo $f; done | sort -r | head -n 3; seq 3 | while read x; do echo $x$x; done\n"),
    ("bash's arrays from commands", BASH + "mapfile -t a < <(sort -u); echo ${#a[@]} ${a[5]}; readarray -d '' b < <(printf 'x\\0y\\0'); echo ${b[@]}; set -o pipefail; false | cat; echo $? ${PIPESTATUS[@]}\n"),
    ("xargs", SH + "cut -d' ' -f2 | xargs -n 700 echo | md5sum; seq 5 | xargs -I{} echo '<{}>'; echo a b | xargs -n1 -t 2>&1; seq 3 | xargs sh -c 'echo $#; exit 3' x; echo $?; echo | xargs nosuch; echo $?\n"),
    ("find -exec", SH + "cd $WORK; mkdir -p d/e; for i in 1 2 3; do echo $i > d/f$i; done; cp d/f1 d/e; find d -type f -exec cat {} \\; | sort; find d -type f -exec wc -c {} + | tail -n 1; find d -type f -execdir cat {} \\; | sort -r; find d -name 'f*' -print0 | sort -z | xargs -0 md5sum; find d -exec false \\; -print\n"),
    ("gawk's system, pipes and coprocess", GAWK + 'BEGIN { system("echo sys"); "date -u -d @0 +%F" | getline x; print x; print "b\\na" | "sort"; close("sort"); while (("seq 3" | getline l) > 0) s += l; print s; print system("exit 3"); c = "tr a-z A-Z"; print "low" |& c; close(c, "to"); c |& getline u; print u; print "all" | "cat; exit 5"; print close("cat; exit 5") }\n'),
    ("mawk's system and pipes", MAWK + 'BEGIN { system("echo sys"); "echo q" | getline x; print x; print "b\\na" | "sort"; close("sort"); print system("exit 3") }\n{ n++ } END { print n | "cat" }\n'),
    ("perl's backticks, system, exec and pipes", PERL + """
        $| = 1; print `echo hi`; print system("exit 4;") >> 8, "\\n"; my @l = `seq 3`; print scalar(@l), "\\n";
        open(P, "-|", "seq", 3); print while <P>; close P; open(Q, "|sort -r"); print Q "1\\n2\\n"; close Q;
        print defined(`nosuchprog`) ? "some" : "none", "\\n"; print system("nosuchprog"), " $!\\n"; kill 9, open(R, "-|", "cat") ; print qx(kill -9 \\$\\$) // "", $? & 127, "\\n";
        my $pid = fork // die; if (!$pid) { exec "sh", "-c", "exit 9" } waitpid $pid, 0; print $? >> 8, "\\n"; exec {"sh"} "-named", "-c", 'echo $0';
    """),
    ("Python's subprocess", PYTHON + """
import os, signal, subprocess, sys
print(subprocess.run(["echo", "a"], capture_output=True))
print(subprocess.check_output("seq 3 | tac", shell=True))
p = subprocess.Popen(["sort"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print(p.communicate("c\\nb\\na\\n"), p.returncode)
print(os.popen("echo pop").read(), os.popen("exit 3").close())
for argv in (["/no/such/program"], ["/usr"], ["/usr/share/common-licenses/GPL-3"], ["x" * 300], ["/usr/bin/env/x"], ["echo", "x" * 140000]):
    try: subprocess.run(argv)
    except OSError as e: print(type(e).__name__, e.errno)
print(os.system("exit 7") >> 8, subprocess.run(["sh", "-c", "kill -9 $$"]).returncode, subprocess.run("kill -TERM $$", shell=True).returncode)
pid = os.posix_spawn("/bin/echo", ["echo", "spawned"], {}); print(os.waitpid(pid, 0)[1], flush=True)
try: os.posix_spawn("/no/such/program", ["x"], {})
except OSError as e: print(e.errno)
print(subprocess.run(["cat"], input=b"through", stdout=subprocess.PIPE, cwd="/usr", env={"A": "1"}, close_fds=True, start_new_session=True).stdout)
print(subprocess.run(["env"], env={"A": "1"}, stdout=subprocess.PIPE, preexec_fn=lambda: os.umask(0o77)).stdout, len(sys.stdin.read()))
try: subprocess.run(["sleep", "10"], timeout=2)
except subprocess.TimeoutExpired: print("too long")
sys.stdout.flush()
os.execvp("sh", ["sh", "-c", "echo last; exit 5"])
"""),
    ("Python's multiprocessing", PYTHON + """
import concurrent.futures, multiprocessing, sys
def square(x): return x * x
def put_locked(lock, queue):
    with lock: queue.put("locked")
def work(method):
    m = multiprocessing.get_context(method)
    with m.Pool(3) as p: print(p.map(square, range(10)))
    lock, queue, barrier = m.Lock(), m.Queue(), m.Barrier(3)
    lock.acquire(); k = m.Process(target=put_locked, args=(lock, queue)); k.start(); lock.release(); print(queue.get()); k.join(); print(k.exitcode)
    ps = [m.Process(target=barrier.wait) for _ in range(2)]
    for p in ps: p.start()
    barrier.wait()
    for p in ps: p.join()
    with concurrent.futures.ProcessPoolExecutor(2, m) as e: print(list(e.map(square, range(5))))
    print(method, "done")
if __name__ == "__main__":
    work("fork"); work("spawn")
"""),
    ("Python's managers, handles, and servers of unix sockets", PYTHON + """
import asyncio, concurrent.futures, multiprocessing, multiprocessing.connection, multiprocessing.reduction, os, socket, socketserver, tempfile, threading
def square(x): return x * x
def fill(shared, results, lock):
    with lock: shared["last"] = "child"; results.append(len(results))
def write_to_handle(connection):
    os.write(multiprocessing.reduction.recv_handle(connection), b"through a handle"); connection.send("written")
def work(method):
    m = multiprocessing.get_context(method)
    with m.Manager() as manager:
        shared, results, lock = manager.dict(), manager.list([9]), manager.Lock()
        ps = [m.Process(target=fill, args=(shared, results, lock)) for _ in range(3)]
        for p in ps: p.start()
        for p in ps: p.join()
        print(method, dict(shared), list(results))
    with m.Pool(2) as p: print(p.map(square, range(6)))
    with concurrent.futures.ProcessPoolExecutor(2, m) as e: print(list(e.map(square, range(5))))
    a, b = m.Pipe(); r, w = os.pipe()
    p = m.Process(target=write_to_handle, args=(b,)); p.start()
    multiprocessing.reduction.send_handle(a, w, p.pid); print(a.recv()); p.join(); print(os.read(r, 99)); os.close(r); os.close(w)
class Upper(socketserver.StreamRequestHandler):
    def handle(self): self.wfile.write(self.rfile.readline().upper())
class Forking(socketserver.ForkingMixIn, socketserver.UnixStreamServer): pass
async def talk(path):
    async def serve(reader, writer):
        while line := await reader.readline(): writer.write(line[::-1]); await writer.drain()
        writer.close()
    async def call(i):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"x" * 50000 + b"%d\\n" % i); writer.write_eof()
        data = await reader.read(); writer.close(); return len(data), data[:2]
    server = await asyncio.start_unix_server(serve, path)
    print(await asyncio.gather(*(call(i) for i in range(5))))
    server.close(); await server.wait_closed()
def main():
    for method in ("fork", "spawn", "forkserver"): work(method)
    d = tempfile.mkdtemp()
    for kind in (socketserver.UnixStreamServer, socketserver.ThreadingUnixStreamServer, Forking):
        with kind(f"{d}/{kind.__name__}", Upper) as server:
            t = threading.Thread(target=server.serve_forever); t.start()
            for i in range(3):
                with socket.socket(socket.AF_UNIX) as s: s.connect(server.server_address); s.sendall(b"hello %d\\n" % i); print(s.makefile().readline(), end="")
            server.shutdown(); t.join()
    asyncio.run(talk(d + "/a"))
    with multiprocessing.connection.Listener(d + "/l", authkey=b"k") as l:
        def one():
            with l.accept() as c: c.send({"a": 1}); print(c.recv())
        t = threading.Thread(target=one); t.start()
        with multiprocessing.connection.Client(d + "/l", authkey=b"k") as c: print(c.recv()); c.send([1])
        t.join()
if __name__ == "__main__": main()
""".replace("\\\\n", "\\n")),
    ("env, sh -c, nice, nohup, tee, timeout", BASH + "cd $WORK; env A=1 sh -c 'echo $A'; env -i B=2 env; env nosuch 2>&1; echo $?; timeout 5 echo ok; timeout 1 sleep 5; echo $?; nice -n 5 nice; nohup echo nh < /dev/null; echo a | tee x | cat - x; command -v sort; type ls\n"),
    ("who reads only the beginning", BASH + "yes | head -n 1; yes | head -n 100000 | md5sum; set -o pipefail; yes | head -n 1; echo $?; seq 100000 | sed 3q | tail -n 1; cat | head -n 1\n"),
    ("wait, kill and traps", BASH + "sleep 2 & sleep 1 & wait -n; echo $?; (exit 5) & wait $!; echo $?; sh -c 'kill -9 $$'; echo $?; trap 'echo usr1' USR1; sh -c 'kill -USR1 $PPID'; echo x; trap '' TERM; sh -c 'kill -TERM $$; echo still here'; sleep 100 & kill -9 $!; wait $! 2>/dev/null; echo $?; trap 'echo bye' EXIT; exit 4\n"),
    ("jobs that are stopped and go on", BASH + "sleep 3 & kill -STOP $!; sleep 0.1; ps -o stat= -p $! | cut -c1; kill -CONT $!; wait $!; echo $?; set -m; sleep 5 & kill -TSTP %1; sleep 0.2; jobs -s | sed 's/  */ /g'; kill %1; kill -CONT %1; wait %1 2>/dev/null; echo $?; sh -c 'kill -STOP $$; exit 4'; echo $?; jobs -s | sed 's/  */ /g'; fg %1 >/dev/null; echo $?; trap 'echo child' CHLD; sh -c 'kill -STOP $$; exit 4' & sleep 0.2; bg %1 >/dev/null 2>&1; wait; echo end\n"),
    ("timeout and what it stops", SH + "timeout -s STOP 0.2 sh -c 'kill -CONT $PPID; exit 3' ; echo $?; timeout 5 sh -c 'kill -STOP $$ & sleep 0.2; kill -CONT $$; wait; exit 6'; echo $?; perl -MPOSIX -e 'my $p = fork; if (!$p) { kill STOP => $$; exit 7 } print waitpid($p, WUNTRACED) == $p ? \"stopped \" : \"no \", WSTOPSIG($?), qq(\\n); kill CONT => $p; waitpid $p, 0; print $? >> 8, qq(\\n)'\n"),
    ("tools that look for processes", BASH + "sleep 77 & first=$!; sleep 78 & sleep 0.2; ps -o args= -p $!; ps -o comm=,args= --ppid $$ | sort | grep ^sleep; pgrep -P $$ -f 'sleep 7' | wc -l; pkill -P $$ -f 'sleep 77'; wait $first 2>/dev/null; echo $?; tr '\\0' ' ' < /proc/$!/cmdline; cat /proc/$!/comm; A=b perl -e 'sleep 79' & sleep 0.2; tr '\\0' '\\n' < /proc/$!/environ | grep ^A; python3 -c 'import time; time.sleep(80)' & sleep 0.5; ps -o args= -p $!; readlink /proc/$!/fd/0 | cut -c1-4; pkill -P $$; wait 2>/dev/null; echo end\n"),
    ("Python's process descriptors", PYTHON + """
import asyncio, os, select, signal, warnings
warnings.simplefilter("ignore")
pids = [os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", f"sleep 0.{i}; exit {i}") for i in (3, 1, 2)]
fds = {os.pidfd_open(p): p for p in pids}
poll = select.epoll()
for fd in fds: poll.register(fd, select.EPOLLIN)
while fds:
    for fd, _ in poll.poll(): r = os.waitid(os.P_PIDFD, fd, os.WEXITED); print(r.si_pid == fds.pop(fd), r.si_status); poll.unregister(fd); os.close(fd)
p = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "100"); fd = os.pidfd_open(p); signal.pidfd_send_signal(fd, signal.SIGTERM); print(os.waitid(os.P_PIDFD, fd, os.WEXITED).si_status)
if hasattr(asyncio, "PidfdChildWatcher") and hasattr(asyncio, "set_child_watcher"): asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
async def work():
    ps = [await asyncio.create_subprocess_shell(f"cat; exit {i}", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE) for i in range(4)]
    print(await asyncio.gather(*(p.communicate(b"text") for p in ps)), [p.returncode for p in ps])
asyncio.run(work())
"""),
    ("a private script", SH + "cd $WORK; printf '#!/bin/sh\\necho script $0 $@ $#\\n' > s; chmod +x s; ./s a 'b c'; PATH=.:$PATH; s q; printf '#!./s -x y \\n' > t; chmod +x t; ./t q; printf 'echo no line $1\\n' > u; chmod +x u; ./u z; printf x > v; ./v 2>/dev/null; echo $?; printf '#!/no/such\\n' > w; chmod +x w; ./w 2>/dev/null; echo $?; printf '#!\\n' > n; chmod +x n; ./n; echo $?; : > e; chmod +x e; ./e; echo $?; ln -s s l; ./l; mkdir d; ./d 2>/dev/null; echo $?; printf '#!/usr/bin/env -S sh -e\\nfalse; echo no\\n' > f; chmod +x f; ./f; echo $?\n"),
    ("a private copy of a program", SH + "cd $WORK; cp /bin/cat c; ./c /usr/share/common-licenses/BSD | md5sum; ln c c2; ./c2 < /dev/null; echo $?; cp /bin/echo o; rm c; ./o gone; chmod -x o; ./o 2>/dev/null; echo $?; head -c 100 /bin/ls > h; chmod +x h; ./h 2>/dev/null; echo $?\n"),
    ("gcc, and what it has made", SH + "cd $WORK; cat > a.c <<'X'\n#include <stdio.h>\n#include <math.h>\nint main(int c, char **v) { printf(\"%s %d %.17g\\n\", v[0], c, sin(c)); return 3; }\nX\ngcc -O2 -o a a.c -lm && ./a x y; echo $?; gcc -static -o b a.c -lm && ./b; echo $?; gcc -c a.c -o a.o && ar rc l.a a.o && nm l.a | grep -c main; gcc -E a.c | wc -l; echo 'int x = ;' > bad.c; gcc bad.c 2>/dev/null; echo $?; md5sum a\n"),
    ("make -j4", SH + "cd $WORK; for i in 1 2 3 4 5 6; do echo \"int f$i(void) { return $i; }\" > f$i.c; done; cat > main.c <<'X'\n#include <stdio.h>\nint f1(void), f6(void);\nint main(void) { printf(\"%d\\n\", f1() + f6()); return 0; }\nX\nprintf 'CC = gcc\\nCFLAGS = -O1\\nprog: main.o f1.o f2.o f3.o f4.o f5.o f6.o\\n\\t$(CC) -o $@ $^\\nfails:\\n\\tfalse\\n' > Makefile; make -j4 | sort; ./prog; md5sum *.o prog; make; make fails 2>&1; echo $?\n"),
    ("git", SH + "cd $WORK; mkdir r h; export HOME=$PWD/h GIT_AUTHOR_DATE=2001-01-01T00:00:00Z GIT_COMMITTER_DATE=2001-01-01T00:00:00Z; cd r; git init -q -b main .; git config user.name a; git config user.email a@b; seq 100 > f; git add f; git commit -q -m one; seq 101 > f; git commit -q -am two; git rev-parse HEAD; git log --oneline --stat; git diff HEAD~ | md5sum; printf '#!/bin/sh\\necho hook; exit 1\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; echo x >> f; git commit -am three 2>&1; echo $?; git stash -q; git repack -adq; git fsck 2>&1; git clone -q . ../c; cat ../c/f | md5sum\n"),
    ("tar with external compressors", SH + "cd $WORK; mkdir d; seq 1000 > d/a; tar -czf d.tgz d; tar -tzf d.tgz; tar -cJf d.txz d; tar -xJf d.txz -O d/a | md5sum; tar --use-compress-program='gzip -9' -cf e.tgz d; gzip -dc e.tgz | tar -tf -; tar -cf - d | (mkdir x; cd x; tar -xf -; cat d/a | md5sum)\n"),
    ("tools that start helpers", BASH + """cd $WORK; seq 10 | gzip | zcat | tail -n 1; ldd /bin/cat | grep -v vdso | sed 's/(.*//'; seq 10 | split -l 5 --filter='wc -l; echo $FILE'; seq 20000 | sort -R -S 100K --compress-program=gzip | sort -n | md5sum
echo 'echo hi' | sed e; echo x | sed 's/x/echo yy/e'; lua5.4 -e 'print(os.execute("exit 3")); local p = io.popen("seq 3"); print(p:read("a")); print(p:close())'; sqlite3 :memory: '.shell echo shell' 'select 1'
python3 -m venv --without-pip v && v/bin/python -c 'import sys; print(sys.prefix != sys.base_prefix)'; (exec -a name sh -c 'echo $0'); (ulimit -n 20; sh -c 'ulimit -n'); seq 5 > p1; seq 6 > p2; diff -u p1 p2 > d; patch -s p1 d; cmp p1 p2 && echo same
{ { echo out; echo err >&2; } 2>&1 >&3 | sed 's/^/E:/'; } 3>&1 | sort; (set -e; false; echo no); echo $?; t=$(mktemp); echo q > $t; cat $t; rm $t; kill -l 9; install -m 751 p1 q1; stat -c %a q1
"""),
    # glibc's posix_spawn, with which make starts us, leaves its own two signals (32, 33) ignored.
    ("what a program is told of itself", PYTHON + """
import os, signal, sys
r, w = os.pipe(); os.set_inheritable(w, True)
signal.signal(signal.SIGUSR1, lambda *_: 0); signal.signal(signal.SIGUSR2, signal.SIG_IGN); signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
os.umask(0o27); os.chdir("/usr"); os.nice(3)
os.execve("/bin/sh", ["-given", "-c", r'''echo $0 $PPID $A; umask; pwd; nice; grep -E "^(Sig(Pnd|Blk|Ign|Cgt)|ShdPnd|Umask|Threads)" /proc/self/status | sed -E "s/^(SigIgn:.0000000)18/\\100/"; cat /proc/self/comm; readlink /proc/self/exe | xargs basename
test -e /proc/self/fd/%d; echo $?; test -e /proc/self/fd/%d; echo $?; tr "\\\\0" "\\\\n" < /proc/$$/environ; tr "\\\\0" " " < /proc/self/cmdline''' % (r, w)], {"A": "1"})
""".replace("$PPID ", "")),
    ("a thread that is not the first calls exec", PYTHON + "import os, threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\nthreading.Thread(target=lambda: os.execv('/bin/sh', ['sh', '-c', 'echo gone; ls /proc/self/task | wc -l'])).start()\ntime.sleep(100)\n"),
    ("a chain of three hundred programs", SH + "i=${1:-0}; [ $i -lt 300 ] || { echo $i; exit; }; exec $0 $((i + 1))\n"),
]

# Programs that not every machine has: skipped where they are missing. Of node, Go and Java: threads, timers, unix sockets, files, collecting
# garbage, and compiling themselves.
FURTHER = [
    ("node", SH + r"""cat > $WORK/x.js <<'X'
const c = require("child_process");
console.log(c.execSync("seq 3 | tac").toString(), c.spawnSync("sh", ["-c", "exit 4"]).status);
const p = c.spawn("cat"); p.stdout.on("data", d => console.log("got " + d)); p.on("close", x => console.log("closed", x)); p.stdin.end("text");
c.spawn("/no/such").on("error", e => console.log(e.code));
X
node $WORK/x.js | sort
"""),
    ("node", SH + r"""cat > $WORK/x.js <<'X'
const { Worker, isMainThread, parentPort } = require("worker_threads"), net = require("net"), http = require("http"), fs = require("fs"), c = require("child_process"), zlib = require("zlib"), crypto = require("crypto"), os = require("os");
if (process.argv[2] == 'child') process.on('message', m => { process.send(m + 1); process.disconnect(); });
else if (!isMainThread) { parentPort.once("message", x => { parentPort.postMessage(x * 2); }); }
else (async () => {
  const d = fs.mkdtempSync("/tmp/n"), path = d + "/s";
  console.log(await Promise.all([1, 2, 3].map(i => new Promise(r => { const w = new Worker(__filename); w.once("message", r); w.postMessage(i); }))));
  const server = net.createServer(s => s.on("data", x => s.end(x.toString().toUpperCase()))); await new Promise(r => server.listen(path, r));
  console.log(await new Promise(r => { const s = net.connect(path, () => s.write("through a socket")); s.on("data", x => r(x.toString())); })); server.close();
  const web = http.createServer((q, a) => a.end("page " + q.url)); await new Promise(r => web.listen(d + "/h", r));
  console.log(await new Promise(r => http.get({ socketPath: d + "/h", path: "/x" }, a => { let t = ""; a.on("data", x => t += x); a.on("end", () => r(t)); }))); web.close();
  console.log(c.execSync("seq 3 | tac").toString(), c.spawnSync("sh", ["-c", "exit 4"]).status);
  const f = c.fork(__filename, ["child"]); console.log(await new Promise(r => { f.on("message", r); f.send(41); }));
  console.log(zlib.gunzipSync(await new Promise((r, e) => zlib.gzip("x".repeat(1000), (x, y) => r(y)))).length, crypto.createHash("sha256").update("a").digest("hex").slice(0, 8));
  console.log((await new Promise(r => crypto.pbkdf2("a", "b", 1000, 8, "sha1", (x, y) => r(y)))).toString("hex"));
  await fs.promises.writeFile(d + "/f", "q"); console.log(await fs.promises.readFile(d + "/f", "utf8"), fs.readdirSync(d));
  const t = setInterval(() => 0, 1); setTimeout(() => { clearInterval(t); console.log("done"); }, 20);
})();
X
node $WORK/x.js
"""),
    ("go", SH + r"""# zvm: memory=2G timeout=300
cd $WORK; mkdir g; cat > g/main.go <<'X'
package main

import (
    "bufio"
    "context"
    "fmt"
    "io"
    "net"
    "net/http"
    "os"
    "os/exec"
    "os/signal"
    "runtime"
    "sort"
    "strings"
    "sync"
    "syscall"
    "time"
)

func main() {
    var wg sync.WaitGroup
    var mu sync.Mutex
    sum := 0
    for i := 0; i < 100; i++ {
        wg.Add(1)
        go func(i int) {
            defer wg.Done()
            b := make([]byte, 1<<16)
            mu.Lock()
            sum += i + len(b)
            mu.Unlock()
            runtime.Gosched()
        }(i)
    }
    wg.Wait()
    fmt.Println(sum)
    runtime.GC()
    ch := make(chan int)
    go func() {
        for i := 0; i < 5; i++ {
            time.Sleep(time.Millisecond)
            ch <- i
        }
        close(ch)
    }()
    for x := range ch {
        fmt.Print(x, " ")
    }
    fmt.Println()
    ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
    defer cancel()
    <-ctx.Done()
    fmt.Println(ctx.Err())
    out, err := exec.Command("sh", "-c", "seq 3 | tac; exit 3").CombinedOutput()
    fmt.Printf("%q %v\n", out, err)
    d, _ := os.MkdirTemp("", "go")
    l, err := net.Listen("unix", d+"/s")
    if err != nil {
        fmt.Println(err)
    } else {
        go func() {
            c, _ := l.Accept()
            io.Copy(c, c)
            c.Close()
        }()
        c, err := net.Dial("unix", d+"/s")
        if err != nil {
            fmt.Println(err)
        } else {
            c.Write([]byte("over a socket"))
            c.(*net.UnixConn).CloseWrite()
            b, _ := io.ReadAll(c)
            fmt.Println(string(b))
        }
        h, _ := net.Listen("unix", d+"/h")
        go http.Serve(h, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "page ", r.URL.Path) }))
        client := http.Client{Transport: &http.Transport{DialContext: func(_ context.Context, _, _ string) (net.Conn, error) { return net.Dial("unix", d+"/h") }}}
        r, err := client.Get("http://x/y")
        if err == nil {
            b, _ := io.ReadAll(r.Body)
            fmt.Println(string(b))
        }
    }
    s := make(chan os.Signal, 1)
    signal.Notify(s, syscall.SIGUSR1)
    syscall.Kill(os.Getpid(), syscall.SIGUSR1)
    fmt.Println(<-s)
    var lines []string
    in := bufio.NewScanner(os.Stdin)
    for in.Scan() {
        lines = append(lines, in.Text())
    }
    sort.Strings(lines)
    fmt.Println(strings.Join(lines[:3], ","))
    done := make(chan bool)
    go func() {
        x := 0
        for i := 0; i < 20000000; i++ {
            x += i
        }
        fmt.Println(x)
        done <- true
    }()
    <-done
}
X
cd g; HOME=$WORK GOCACHE=$WORK/cache GO111MODULE=off GOFLAGS=-p=1 go build -o ../prog . && ../prog
"""),
    ("javac", SH + r"""# zvm: memory=4G timeout=300
cd $WORK; cat > T.java <<'X'
import java.io.*; import java.net.*; import java.nio.channels.*; import java.nio.file.*; import java.nio.*; import java.util.*; import java.util.concurrent.*; import java.util.stream.*;
public class T {
  public static void main(String[] a) throws Exception {
    ExecutorService e = Executors.newFixedThreadPool(4);
    List<Future<Integer>> fs = new ArrayList<>();
    for (int i = 0; i < 20; i++) { int k = i; fs.add(e.submit(() -> { int s = 0; for (int j = 0; j < 200000; j++) s += j * k; return s; })); }
    int sum = 0; for (var f : fs) sum += f.get(); System.out.println(sum); e.shutdown();
    System.out.println(IntStream.range(0, 100000).parallel().mapToLong(x -> x * (long) x).sum());
    byte[][] keep = new byte[50][]; for (int i = 0; i < 2000; i++) keep[i % 50] = new byte[100000]; System.gc(); System.out.println(keep[7].length);
    Process p = new ProcessBuilder("sh", "-c", "tr a-z A-Z; exit 3").start();
    try (var w = p.getOutputStream()) { w.write("from java\n".getBytes()); }
    System.out.print(new String(p.getInputStream().readAllBytes())); System.out.println(p.waitFor());
    Path t = Files.createTempFile("x", ".txt"); Files.writeString(t, "text"); System.out.println(Files.readString(t)); Files.delete(t);
    Path sock = Files.createTempDirectory("s").resolve("sock");
    try (ServerSocketChannel ss = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
      ss.bind(UnixDomainSocketAddress.of(sock));
      Thread th = new Thread(() -> { try (SocketChannel c = ss.accept()) { ByteBuffer b = ByteBuffer.allocate(100); c.read(b); b.flip(); c.write(b); } catch (IOException x) { System.out.println(x); } }); th.start();
      try (SocketChannel c = SocketChannel.open(StandardProtocolFamily.UNIX)) { c.connect(UnixDomainSocketAddress.of(sock)); c.write(ByteBuffer.wrap("unix".getBytes())); ByteBuffer b = ByteBuffer.allocate(100); c.read(b); System.out.println(new String(b.array(), 0, b.position())); }
      th.join();
    }
    ScheduledExecutorService se = Executors.newScheduledThreadPool(1); System.out.println(se.schedule(() -> "scheduled", 30, TimeUnit.MILLISECONDS).get()); se.shutdown();
    System.out.println(System.currentTimeMillis() > 0);
    new BufferedReader(new InputStreamReader(System.in)).lines().sorted().limit(3).forEach(System.out::println);
  }
}
X
javac T.java && java -cp . T
"""),
    ("ruby", SH + """ruby -e 'puts `echo hi`; system("exit 3"); puts $?.exitstatus; IO.popen("sort", "r+") { |p| p.puts "b", "a"; p.close_write; puts p.read }; pid = fork { exit 5 }; Process.wait pid; puts $?.exitstatus; begin; exec "/no/such"; rescue => e; puts e.class; end'\n"""),
    ("php", SH + """php -r 'echo shell_exec("echo hi"); exec("seq 3", $o, $r); print_r($o); $p = proc_open("cat", [["pipe", "r"], ["pipe", "w"]], $q); fwrite($q[0], "q"); fclose($q[0]); echo stream_get_contents($q[1]), proc_close($p), "\n";'\n"""),
    ("tclsh", SH + """echo 'puts [exec seq 3 | tail -n 1]; set f [open "|sort" r+]; puts $f "b\na"; close $f w; puts [read $f]; catch {exec false} e; puts $e' | tclsh\n"""),
    ("zsh", SH + "zsh -c 'print -l ${(f)\"$(seq 3)\"}; wc -l < =(echo x); cat <(echo y); seq 5 | while read x; do ((s += x)); done; echo $s'\n"),
    ("cmake", SH + """cd $WORK; printf 'cmake_minimum_required(VERSION 3.10)\nproject(x C)\nadd_executable(x x.c)\nadd_custom_command(TARGET x POST_BUILD COMMAND ./x)\n' > CMakeLists.txt
printf '#include <stdio.h>\nint main(void) { puts("built"); return 0; }\n' > x.c; cmake -S . -B b > log 2>&1; echo $?; make -C b 2>&1 | grep -c built; ./b/x\n"""),
    ("g++", SH + """cd $WORK; printf '#include <iostream>\nint main() { try { throw 1; } catch (int x) { std::cout << x << std::endl; } }' > a.cc; g++ -o a a.cc && ./a\n"""),
    ("clang", SH + "cd $WORK; echo 'int main(void) { return 5; }' > b.c; clang -o b b.c && ./b; echo $?\n"),
    ("flex", SH + """cd $WORK; printf '%%%%\na puts("a");\n%%%%\nint yywrap(void) { return 1; }\nint main(void) { yylex(); return 0; }\n' > l.l; flex -o l.c l.l && gcc -w -o l l.c && echo aa | ./l\n"""),
    ("vim", SH + "cd $WORK; printf 'b\\na\\n' > v; vim -es -u NONE -c '%!sort' -c wq v < /dev/null; cat v\n"),
    ("groff", SH + "printf 'x\\n' | groff -Tascii | head -n 1\n"),
    ("ed", SH + "printf 'a\\nx\\n.\\n!echo from ed\\n,w !cat -n\\nQ\\n' | ed -s; echo '!echo from dc' | dc; echo 'syscmd(echo from m4)' | m4\n"),
    ("busybox", SH + "busybox sh -c 'echo a | grep a; seq 3 | wc -l; busybox ls /usr | head -n 2; find /usr/share/common-licenses -name \"GPL*\" -exec wc -l {} + | tail -n 1'\n"),
]

# Where several run at once. The native order is anyone's guess, so it is made not to matter, or is not compared.
MANY = [
    ("xargs -P4", SH + "seq 1 60 | xargs -P4 -n 7 sh -c 'echo $#; echo $1 | sort'\n"),
    ("two writers to one output", SH + "{ for i in 1 2 3 4 5; do echo a$i; done; } & for i in 1 2 3 4 5; do /bin/echo b$i; done; wait\n"),
    ("process substitution in bash", BASH + "diff <(seq 1 5 | sort -r) <(seq 1 6); cat <(echo one) <(echo two); echo x > >(cat -n); wait; sort -m <(seq 1 2 9) <(seq 2 2 9)\n"),
    ("a coprocess of bash", BASH + "coproc cat; echo hi >&${COPROC[1]}; read x <&${COPROC[0]}; echo $x; exec {COPROC[1]}>&-; wait\n"),
    ("chance in a pipeline", BASH + "seq 50 | sort -R | head -n 5; echo $RANDOM; shuf -n 3 -i 1-1000; mktemp -u; awk 'BEGIN { srand(); print rand() }'; date +%s%N\n"),
    ("jobs at once, and wait -n", BASH + "for i in 3 1 2; do (sleep $i; echo slept $i) & done; while wait -n; do echo one; done; for i in 1 2 3 4; do /bin/echo $i | cat & done; wait; jobs\n"),
    ("children of children that outlive it", SH + "(sh -c 'sleep 1; echo late' &) ; echo early; exit 3\n"),
    ("a server of a unix socket and its callers", PYTHON + "import os, socket\ns = socket.socket(socket.AF_UNIX); s.bind('/tmp/s'); s.listen(1)\nfor i in range(6):\n    if os.fork() == 0:\n        c = socket.socket(socket.AF_UNIX); c.connect('/tmp/s'); c.sendall(b'%d' % i * 9); print(i, c.recv(99), flush=True); os._exit(0)\nfor i in range(6):\n    c, _ = s.accept(); d = c.recv(99); print('server', d, flush=True); c.sendall(d[::-1]); c.close()\nwhile True:\n    try: os.wait()\n    except ChildProcessError: break\n"),
    ("processes that look at each other", BASH + "for i in 1 2 3; do (exec -a job$i sleep $i) & done; for i in 1 2 3; do for p in /proc/[0-9]*; do echo $p $(tr '\\0' ' ' < $p/cmdline) $(cut -d' ' -f3 $p/stat); done; sleep 1; done; wait\n"),
    ("make -j4 that prints as it goes", SH + "cd /tmp; printf 'all: a b c d e\\n%%:\\n\\t@echo begin $@; sort /usr/share/common-licenses/GPL-3 | md5sum; echo end $@\\n' > M; make -j4 -f M\n"),
]


def save(name, text):
    """Python and perl scripts need no place to write to; a shell's is told by a directive, as a script of zvm's would say it."""
    first, rest = text.split("\n", 1)
    return write_script(f"scripts/{name}", f"{first}\n# zvm: env=WORK=/tmp\n{rest}")


def compare_with_native(name, text):
    path = save(name, text)
    place = tempfile.mkdtemp(prefix=f"{name}-", dir=SCRATCH)
    native = run_native([str(path)], INPUT, {**BOX_LIKE, "WORK": place})
    boxed = run_boxed(spec(name), INPUT, ("--no-cache", "--scripts", str(SCRIPTS)))
    assert native.out, f"nothing is compared: {native}"
    assert native.out == boxed.out, f"{first_difference(native.out, boxed.out)}\nnative: {native}\nboxed: {boxed}"
    assert native == boxed, f"native: {native}\nboxed: {boxed}"


def compare_if_there(program, name, text):
    if not shutil.which(program, path=BOX_PATH):
        raise Further(f"{program} is not installed")
    compare_with_native(name, text)


def always_the_same(name, text, status):
    save(name, text)
    argv = [ZVM, "run", "--verify", "20", "--store", STORE, "--scripts", str(SCRIPTS), spec(name)]
    result = Result(subprocess.run(argv, input=INPUT, capture_output=True, timeout=300, check=False))
    assert result.status == status and result.out, result


for number, (what, text) in enumerate(RUNS):
    add_test(f"{what}: as it is natively", compare_with_native, f"run-{number}", text)
for number, (program, text) in enumerate(FURTHER):
    add_test(f"{program} and what it starts: as it is natively", compare_if_there, program, f"with-{program}-{number}", text)
for number, (what, text) in enumerate(MANY):
    add_test(f"{what}: the same 20 times of 20", always_the_same, f"many-{number}", text, 3 if "exit 3" in text else 0)


# --- how a run ends that has several processes ---

# What it does, the script, then the exit status and what standard error says.
ENDS = [
    ("a reader and a writer who wait for each other are told so at once", BASH + "mkfifo /tmp/f; cat < /tmp/f & wait\n", 125, "deadlock: task 1 (bash) waits in wait4; task 3 (bash) waits in openat"),
    ("a parent that waits for a child that waits for it", PYTHON + "import os, subprocess\nr, w = os.pipe(); os.set_inheritable(r, True); os.set_inheritable(w, True)\nsubprocess.run(['cat', f'/dev/fd/{r}'], close_fds=False)\n", 125, "task 2 (cat) waits in read"),
    ("a listener whom nobody calls", PYTHON + "import socket\ns = socket.socket(socket.AF_UNIX); s.bind('/tmp/s'); s.listen(); s.accept()\n", 125, "waits in accept4"),
    ("who calls and is not accepted", PYTHON + "import socket\ns = socket.socket(socket.AF_UNIX); s.bind('/tmp/s'); s.listen(0)\nfor _ in 'abc': c = socket.socket(socket.AF_UNIX); c.connect('/tmp/s'); s.type and globals().setdefault('kept', []).append(c)\nprint('never')\n", 125, "waits in connect"),
    ("a run in which everybody is stopped", BASH + "kill -STOP $$\necho never\n", 125, "deadlock: task 1 (bash) is stopped by SIGSTOP; and nobody"),
    ("who waits for a process that is stopped", SH + "sh -c 'kill -STOP $$; echo never' & sleep 1; echo out; wait\n", 125, "task 1 (dash) waits in rt_sigsuspend; task 2 (sh) is stopped by SIGSTOP"),
    ("who is stopped when the first process ends is let go, and told to hang up, if it was a job", BASH + "set -m; sh -c 'trap \"echo hup; exit\" HUP; kill -STOP $$; echo never' & sleep 1; echo out\n", 0, ""),
    ("what is left without an output is killed with the first process", BASH + "(sleep 100000 >/dev/null 2>&1; echo never) >/dev/null 2>&1 & echo out; exit 6\n", 6, ""),
    ("who holds an output is waited for", SH + "(sleep 3; echo late >&2) >/dev/null & echo out; exit 6\n", 6, "late"),
    ("an output that is on its way to somebody is held", PYTHON + "import os, socket, time\na, b = socket.socketpair()\nif os.fork() == 0:\n    os.close(1); os.close(2); time.sleep(2); _, fds, *_ = socket.recv_fds(b, 9, 9); os.write(fds[0], b'late\\n'); os.write(fds[1], b'late\\n'); os._exit(0)\nsocket.send_fds(a, [b'x'], [1, 2])\nos._exit(6)\n", 6, "late"),
    ("processes that make processes end at the limit of them", SH + "b() { b & b & wait; }; b 2>/dev/null; echo out\n", 0, ""),
    ("programs that start themselves end there too", SH + "$0 2>/dev/null & $0 2>/dev/null & wait; echo out\n", 0, ""),
    ("the output of all of them counts", SH + "# zvm: output=100K\nyes | head -c 60000; yes | head -c 60000; echo never\n", 125, "output limit"),
    ("a child that spins is ended by the time limit", SH + "# zvm: timeout=1\nsh -c 'while :; do :; done' & wait\n", 124, "time limit"),
]


def ends_so(name, text, status, said):
    write_script(f"scripts/{name}", text)
    first, second = (run_boxed(spec(name), b"", ("--no-cache", "--scripts", str(SCRIPTS))) for _ in range(2))
    assert first.status == status and said.encode() in first.err and b"never" not in first.out, first
    assert first == second and first.err == second.err, f"first: {first}\nsecond: {second}"


for number, (what, *row) in enumerate(ENDS):
    add_test(what, ends_so, f"end-{number}", *row)


@test
def memory_of_all():
    """the memory of all processes counts, is given back with each of them, and who gets too little of it is always the same"""
    text = SH + """# zvm: memory=64M
perl -e '$x = "a" x 100000000' 2>/dev/null; echo $?
for i in 1 2 3 4 5 6 7 8 9; do perl -e '$x = "a" x 20000000; print length $x, "\n"'; done
for i in 1 2 3 4 5 6 7 8; do perl -e '$x = "a" x 8000000; sleep 1; print "had room\n"' 2>/dev/null & done; wait; grep MemFree /proc/meminfo; cat
"""
    write_script("scripts/memory", text)
    first, second = (run_boxed("memory", b"end\n", ("--no-cache", "--scripts", str(SCRIPTS))) for _ in range(2))
    assert first.status == 0 and first.out.startswith(b"12\n" + b"20000000\n" * 9) and first.out.endswith(b"end\n"), first
    assert 0 < first.out.count(b"had room") < 8 and first == second, first
    free = int(first.out.split(b"MemFree:")[1].split()[0])
    assert 60000 < free < 65536, f"{free} KiB are free when all are gone"


@test
def descriptors_that_others_keep():
    """a process that closes what its children keep open does not run out of descriptors, whoever closes last"""
    text = PERL + """for (1 .. 4500) {
    open F, "<", "/usr/share/common-licenses/GPL-3" or die "$_ $!"; pipe R, W;
    my $pid = fork // die;
    if (!$pid) { close W; <R>; exec "true" if $_ % 100 == 0; exit }
    close F; close R; close W; waitpid $pid, 0; $bad += $? != 0;
}
print $bad + 0;
"""
    write_script("scripts/keep", text)
    result = run_boxed("keep", b"", ("--no-cache", "--scripts", str(SCRIPTS)))
    assert (result.status, result.out) == (0, b"0"), result


# Sockets and what is sent along, made, used and closed without sense, by two who share some of them.
PLAY = PYTHON + """import os, random, socket, sys
seed = int(sys.argv[1])
def free(): return next(int(l.split()[1]) for l in open("/proc/meminfo") if l.startswith("MemFree"))
def play():
    random.seed(seed); have, done, failed, deep = [], 0, {}, False
    names = ["/tmp/a", "/tmp/b", "\\0c", "\\0d", "/tmp/e/f"]
    def some(): return random.choice(have)
    def make(): have.append(socket.socket(socket.AF_UNIX, random.choice([1, 2, 5]) | socket.SOCK_NONBLOCK))
    def pair(): have.extend(s for s in socket.socketpair(socket.AF_UNIX, random.choice([1, 2, 5])))
    def take():
        _, fds, *_ = socket.recv_fds(some(), random.choice([0, 1, 100, 5000]), 20)
        for fd in fds:
            try: have.append(socket.socket(fileno=fd))
            except OSError: os.close(fd)
    def child():
        nonlocal deep
        if deep: return
        if os.fork() == 0:
            deep = True
            for _ in range(40): step()
            os._exit(0)
        os.wait()
    acts = [make, pair, make, pair, take, take, take, child,
            lambda: some().bind(random.choice(names)), lambda: some().listen(random.choice([0, 1, 5])), lambda: some().connect(random.choice(names)),
            lambda: some().connect(random.choice(names)), lambda: have.append(some().accept()[0]), lambda: have.append(some().accept()[0]),
            lambda: some().send(b"x" * random.choice([0, 1, 100, 5000, 60000, 70000])), lambda: some().recv(random.choice([0, 1, 100, 70000])),
            lambda: some().sendto(b"y" * random.choice([1, 3000]), random.choice(names)), lambda: some().shutdown(random.choice([0, 1, 2])),
            lambda: socket.send_fds(some(), [b"z" * random.choice([0, 1, 3000])], [some().fileno() for _ in range(random.choice([1, 2, 9]))] + [0]),
            lambda: socket.send_fds(some(), [b"z"], [some().fileno() for _ in range(random.choice([1, 2, 9]))]),
            lambda: have.append(some().dup()), lambda: os.unlink(random.choice(names[:2])), lambda: some().getpeername(), lambda: some().getsockname()]
    def close(): have.pop(random.randrange(len(have))).close()
    def step():
        nonlocal done
        act = random.choice(acts) if len(have) < 60 else close
        try:
            for s in have[-8:]: s.setblocking(False)
            act(); done += 1
        except (OSError, IndexError, ValueError) as e: failed[getattr(e, "errno", 0)] = failed.get(getattr(e, "errno", 0), 0) + 1
        if random.random() < 0.35 and have: close()
    for _ in range(1500): step()
    print(done, sorted((str(k), v) for k, v in failed.items()), flush=True)
free()
for round in range(2):
    before = free()
    if os.fork() == 0: play(); os._exit(0)
    os.wait()
    for n in ("/tmp/a", "/tmp/b"):
        try: os.unlink(n)
        except OSError: pass
    print("lost", before - free(), flush=True)
"""


def plays_with_sockets(seed):
    write_script("scripts/play", PLAY)
    first, second = (run_boxed(spec("play", str(seed)), b"", ("--no-cache", "--scripts", str(SCRIPTS))) for _ in range(2))
    lines = first.out.decode().splitlines()
    assert first.status == 0 and len(lines) == 4 and not first.err, first
    assert all(int(lines[i].split()[0]) > 500 for i in (0, 2)), first
    assert lines[1] == lines[3] == "lost 0", first
    assert first == second, f"first: {first}\nsecond: {second}"


for number in (1, 2, 3):
    add_test(f"sockets used without sense answer twice the same, and leave no memory taken (seed {number})", plays_with_sockets, number)


# --- what a run depends on ---


def dependencies(m, name):
    found = json.loads(m.read(f"info/{name}"))["dependencies"]
    return {d["path"]: d for d in found}


@test
def all_that_was_executed():
    """what was executed, its interpreters, and where it was looked for in vain, are dependencies; what the run wrote itself is none"""
    with Mount() as m:
        m.put("in", b"x\n")
        m.script("helper", "#!/script/middle\n")
        m.script("middle", "#!/bin/cat\n")
        m.script("top.sh", "#!/bin/sh\nPATH=/script/bin:$PATH\nhelper=/script/helper; $helper; rev; cp /bin/echo /tmp/e; /tmp/e own; printf '#!/bin/sh\\necho mine\\n' > /tmp/s; chmod +x /tmp/s; /tmp/s\n")
        assert m.read("run/top.sh/in") == b"#!/bin/cat\n#!/script/middle\nx\nown\nmine\n"
        found = dependencies(m, "top.sh/in")
        for path in ("/script/helper", "/script/middle", "/bin/cat", "/usr/bin/rev", "/bin/cp", "/bin/sh"):
            assert any("digest" in d for name, d in found.items() if name in (path, f"/usr{path}")), f"{path} is missing: {sorted(found)}"
        assert any(name.startswith("/script/bin") and d.get("absent") for name, d in found.items()), sorted(found)
        assert not [name for name in found if name.startswith(("/tmp", "/home", "/proc"))], sorted(found)


@test
def a_change_is_a_new_run():
    """a run is done again when a program that it executed changes, when one appears where it looked first, and not otherwise"""
    with Mount() as m:
        m.put("in", b"")
        m.script("helper", "#!/bin/sh\necho one\n")
        m.script("top.sh", "#!/bin/sh\nPATH=/script/bin:$PATH\n/script/helper; uname -s\n")
        runs = lambda: int(next(line.split()[1] for line in m.read("stats").decode().splitlines() if line.startswith("zvm_box_runs_total ")))
        assert m.read("run/top.sh/in") == b"one\nLinux\n"
        before = runs()
        assert m.read("run/top.sh/in") == b"one\nLinux\n" and runs() == before
        m.script("helper", "#!/bin/sh\necho another\n")
        assert m.read("run/top.sh/in") == b"another\nLinux\n"
        (m.scripts / "bin").mkdir()
        m.script("bin/uname", "#!/bin/sh\necho first\n")
        assert m.read("run/top.sh/in") == b"another\nfirst\n"
        assert runs() == before + 2


@test
def what_is_not_known():
    """a program that the run has made is looked into like any other: cpuid in it is answered by the box"""
    with Mount() as m:
        m.put("in", b"")
        text = "#!/bin/sh\ncd /tmp; cp /script/instructions_static i; ./i cpuid > a; /script/instructions_static cpuid > b; test -s a && cmp a b && echo same\n"
        m.script("top.sh", text)
        shutil.copy(BUILD / "box" / "instructions_static", m.scripts / "instructions_static")
        assert m.read("run/top.sh/in") == b"same\n"
        info = json.loads(m.read("info/top.sh/in"))
        assert not info["not_vetted"], info


main()
