defmodule Sidewinder.Test.RealDaemon do
  @moduledoc """
  A real daemon in a folder of its own, for as long as the test that started it lives.

  It runs below a shell that waits for the end of its standard input, so it ends with this BEAM, however that ends.
  """

  import ExUnit.Callbacks, only: [on_exit: 1]

  @patience 20_000
  @root Path.expand("../../../..", __DIR__)

  @doc "The binary under test."
  def binary do
    target = System.get_env("CARGO_TARGET_DIR") || Path.join(@root, "target")
    built = for kind <- ["release", "debug"], do: Path.join([target, kind, "sidewinder"])

    Enum.find([System.get_env("SIDEWINDER_BIN") | built], &(&1 && File.exists?(&1))) ||
      raise "no binary to test: run `make build`, or name one with SIDEWINDER_BIN"
  end

  @doc "The tools that the tests of the Python client serve as well."
  def tools, do: Path.join(@root, "client-python/tests_client/tools")

  @doc "A folder that is taken away after the test."
  def folder do
    folder = Path.join(System.tmp_dir!(), "sidewinder-ex-#{System.pid()}-#{System.unique_integer([:positive])}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    folder
  end

  @doc "Starts one; it is killed after the test. Gives back its socket, its process id and its folder."
  def start(args \\ [], further \\ []) do
    folder = folder()
    socket = Path.join(folder, "s.sock")
    daemon = start_at(folder, socket, args, further)
    on_exit(fn -> kill(daemon) end)
    daemon
  end

  @doc "Starts one at a socket, such as where one was before."
  def start_at(folder, socket, args, further \\ []) do
    served = if further[:directory], do: [], else: ["--tools", "served"]
    usual = served ++ ["--directory", further[:directory] || tools(), "--workers", "2", "--socket", socket]
    script = ~s("$@" </dev/null & pid=$!; echo "pid $pid"; cat >/dev/null; kill -9 $pid 2>/dev/null; wait)

    env = [
      {~c"SIDEWINDER_RUNTIME_DIR", String.to_charlist(Path.join(folder, "run"))},
      {~c"PYTHONDONTWRITEBYTECODE", ~c"1"}
      | for({name, value} <- further[:env] || [], do: {String.to_charlist(name), String.to_charlist(value)})
    ]

    port =
      Port.open({:spawn_executable, "/bin/sh"}, [
        :binary,
        :stderr_to_stdout,
        :exit_status,
        line: 8_192,
        env: env,
        args: ["-c", script, "sh", binary(), "run"] ++ usual ++ args
      ])

    keeper = self()
    reader = spawn(fn -> read(port, keeper, []) end)
    true = Port.connect(port, reader)
    Process.unlink(port)
    flush(port, reader)

    receive do
      {^reader, {:listening, pid}} -> %{socket: socket, folder: folder, pid: pid, reader: reader}
      {^reader, {:failed, lines}} -> raise "the daemon did not start:\n" <> Enum.join(lines, "\n")
    after
      @patience -> raise "the daemon did not start in time"
    end
  end

  # What came while the port was still ours.
  defp flush(port, reader) do
    receive do
      {^port, message} ->
        send(reader, {port, message})
        flush(port, reader)
    after
      0 -> :ok
    end
  end

  defp read(port, keeper, lines, pid \\ nil) do
    receive do
      {^port, {:data, {_, "pid " <> pid}}} ->
        read(port, keeper, lines, String.to_integer(pid))

      {^port, {:data, {_, line}}} ->
        if String.contains?(line, "listens on"), do: send(keeper, {self(), {:listening, pid}})
        read(port, keeper, [line | lines], pid)

      {^port, {:exit_status, _}} ->
        send(keeper, {self(), {:failed, Enum.reverse(lines)}})

      {:log, asker} ->
        send(asker, {self(), Enum.reverse(lines)})
        read(port, keeper, lines, pid)

      :stop ->
        Port.close(port)
    end
  end

  @doc "The TCP port of one that was started with `--tcp 127.0.0.1:0`."
  def port(daemon) do
    line = Enum.find(log(daemon), &String.contains?(&1, "listens on"))
    [_, port] = Regex.run(~r/ and 127\.0\.0\.1:(\d+)/, line)
    String.to_integer(port)
  end

  @doc "What it has printed."
  def log(daemon) do
    reader = daemon.reader
    send(reader, {:log, self()})

    receive do
      {^reader, lines} when is_list(lines) -> lines
    after
      @patience -> []
    end
  end

  @doc "Sends a signal to the daemon."
  def signal(daemon, signal), do: {_, 0} = System.cmd("kill", ["-#{signal}", Integer.to_string(daemon.pid)])

  @doc "Kills it, if it still runs."
  def kill(daemon) do
    send(daemon.reader, :stop)
    eventually(fn -> not alive?(daemon.pid) end)
  end

  @doc """
  Whether a process lives. A zombie does not, but one whose other threads have not ended yet does: its sockets are open,
  and what is written to them is lost.
  """
  def alive?(pid) do
    case File.ls("/proc/#{pid}/task") do
      {:ok, threads} -> Enum.any?(threads, &(not ended?("/proc/#{pid}/task/#{&1}/stat")))
      {:error, _} -> false
    end
  end

  defp ended?(stat) do
    case File.read(stat) do
      {:ok, text} -> String.contains?(text, ") Z ") or String.contains?(text, ") X ")
      {:error, _} -> true
    end
  end

  @doc "Waits for a fact."
  def eventually(fact, patience \\ @patience) do
    until = System.monotonic_time(:millisecond) + patience
    wait(fact, until)
  end

  defp wait(fact, until) do
    cond do
      found = fact.() -> found
      System.monotonic_time(:millisecond) > until -> raise "it did not come true in time"
      true -> Process.sleep(5) && wait(fact, until)
    end
  end

  @doc "A client of a daemon, stopped after the test."
  def client(daemon, options \\ []) do
    name = Keyword.get(options, :name, :"client_#{System.unique_integer([:positive])}")
    options = Keyword.merge([name: name, address: daemon.socket], options)
    ExUnit.Callbacks.start_supervised!({Sidewinder, options})
    :ok = Sidewinder.wait_ready(name, @patience)
    name
  end
end
