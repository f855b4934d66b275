defmodule Sidewinder.Daemon do
  @moduledoc """
  A daemon of our own: `sidewinder run` as a port, for mode `:coupled`.

  The standard input of the daemon is its lifeline. The BEAM holds the other end and never writes: when this process ends,
  or the BEAM does, in whatever way, the kernel closes it, and the daemon ends with everything it has started. Nothing here
  kills anybody.

  A daemon that ends by itself is started again, after a pause that doubles from 100 ms to 30 s and begins anew once one
  has lived for a minute. What it prints goes to the log.
  """

  use GenServer, shutdown: 15_000

  require Logger

  alias Sidewinder.{Client, Telemetry}

  @pause_min 100
  @pause_max 30_000
  @lived_ms 60_000
  @line_max 8_192
  @gone_ms 10_000
  @look_ms 5

  @doc false
  @spec start_link(Client.t()) :: GenServer.on_start()
  def start_link(client), do: GenServer.start_link(__MODULE__, client, name: Client.part(client.name, :Daemon))

  @doc "The process id of the daemon, or `nil` while there is none."
  @spec os_pid(atom) :: nil | pos_integer
  def os_pid(name), do: GenServer.call(Client.part(name, :Daemon), :os_pid)

  @impl true
  def init(client) do
    Process.flag(:trap_exit, true)
    {:ok, start(%{client: client, daemon: client.mode.daemon, port: nil, os_pid: nil, failures: 0, begun: nil})}
  end

  defp start(state) do
    File.mkdir_p(Path.dirname(state.daemon.socket))
    options = [:binary, :exit_status, :stderr_to_stdout, :hide, line: @line_max, args: state.daemon.args]
    port = Port.open({:spawn_executable, state.daemon.binary}, options ++ place(state.daemon))
    os_pid = with {:os_pid, pid} <- Port.info(port, :os_pid), do: pid
    shown = %{os_pid: os_pid, binary: state.daemon.binary}
    Telemetry.emit(state.client.sink, [:sidewinder, :daemon, :started], %{count: 1}, shown)
    %{state | port: port, os_pid: os_pid, begun: System.monotonic_time(:millisecond)}
  end

  defp place(daemon) do
    env = for {name, value} <- daemon.env, do: {String.to_charlist(name), String.to_charlist(value)}
    if daemon.cd, do: [cd: daemon.cd, env: env], else: [env: env]
  end

  @impl true
  def handle_call(:os_pid, _from, state), do: {:reply, state.os_pid, state}

  @impl true
  def handle_info({port, {:data, {_, line}}}, %{port: port} = state) do
    {level, text} = told(line)
    Logger.log(level, fn -> "sidewinder run: #{text}" end)
    {:noreply, state}
  end

  def handle_info({port, {:exit_status, status}}, %{port: port} = state) do
    lived = System.monotonic_time(:millisecond) - state.begun
    failures = if lived >= @lived_ms, do: 0, else: state.failures
    pause = min(@pause_min * Bitwise.bsl(1, min(failures, 10)), @pause_max)
    Logger.error("sidewinder: the daemon ended with #{status} after #{lived} ms; it is started again in #{pause} ms")
    measured = %{status: status, restart_in_ms: pause}
    Telemetry.emit(state.client.sink, [:sidewinder, :daemon, :exited], measured, %{os_pid: state.os_pid})
    Process.send_after(self(), :start, pause)
    {:noreply, %{state | port: nil, os_pid: nil, failures: failures + 1}}
  end

  def handle_info(:start, %{port: nil} = state), do: {:noreply, start(state)}
  def handle_info(_other, state), do: {:noreply, state}

  # Whoever stops a client wants to find nothing behind: the daemon is waited for.
  @impl true
  def terminate(_reason, %{port: nil}), do: :ok

  def terminate(_reason, state) do
    born = born(state.os_pid)
    if Port.info(state.port), do: Port.close(state.port)
    await_end(state.os_pid, born, System.monotonic_time(:millisecond) + @gone_ms)
  end

  defp await_end(pid, born, until) do
    cond do
      born == nil or born(pid) != born -> :ok
      System.monotonic_time(:millisecond) > until -> Logger.error("sidewinder: the daemon #{pid} is still there")
      true -> Process.sleep(@look_ms) && await_end(pid, born, until)
    end
  end

  # A number may be given to another process; its time of birth is not. A zombie has ended.
  defp born(pid) do
    with {:ok, text} <- File.read("/proc/#{pid}/stat"),
         [_, rest] <- :binary.split(text, ") "),
         [status | _] = words when status != "Z" <- String.split(rest) do
      Enum.at(words, 19)
    else
      _ -> nil
    end
  end

  # A line of its log has a level and a text; anything else that it prints is told as it is.
  @levels %{"ERROR" => :error, "WARN" => :warning, "INFO" => :info, "DEBUG" => :debug, "TRACE" => :debug}
  @line ~r/"level":"([A-Z]+)","text":"((?:[^"\\]|\\.)*)"(?:,"pool":"([^"]*)")?(?:,"worker":"([^"]*)")?/

  defp told(line) do
    case Regex.run(@line, line) do
      [_, level, text | place] -> {Map.get(@levels, level, :info), Enum.join(place ++ [text], " ")}
      nil -> {:info, line}
    end
  end
end
