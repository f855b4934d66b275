# What a call costs from here, beside the Rust client on the same server.
#
#     SIDEWINDER_BIN=… BARE_ECHO=… mix run bench/figures.exs [ROUNDS] [--write FILE]
#
# SIDEWINDER_BIN is the daemon, which runs with two workers that echo; BARE_ECHO is `sidewinder-bench`, which is both a bare
# tonic server that does the same without workers, and the Rust client. Without BARE_ECHO there is nothing beside. Clients
# take turns in each round, because the processors are shared with others; a figure is the middle of its rounds, a ratio the
# middle of their ratios. `--write` puts them behind the page that the other bench has written, or in the place of older ones.

defmodule Figures do
  @moduledoc false
  alias Sidewinder.{Channel, Proto}

  @tools Path.expand("../../tests/bench/tools", __DIR__)
  @python Path.expand("../../client-python/src", __DIR__)
  @call "/sidewinder.v1.Calls/Call"
  @stream "/sidewinder.v1.Calls/Stream"
  @span 700
  @items 100_000
  # What is measured here, beside which figure of the other client, and how it is called.
  @names [
    {:unary, "unary", "one caller, p50, µs"},
    {:call, "unary", "the same by Sidewinder.call, µs"},
    {:callers_32, "callers_32", "32 callers, calls/s"},
    {:callers_256, "callers_256", "256 callers, calls/s"},
    {:large, "large", "10 MB echo, p50, ms"},
    {:stream, "stream", "stream of 100,000 items, ms"},
    {:items, "stream", "the same by Sidewinder.stream, ms"}
  ]

  @heading "\n## The Elixir client beside that of Rust\n"

  def run(rounds, file) do
    daemon = System.get_env("SIDEWINDER_BIN") || raise "SIDEWINDER_BIN names the daemon's binary"
    folder = Path.join(System.tmp_dir!(), "sidewinder-figures-#{System.pid()}")
    File.mkdir_p!(folder)
    rust = System.get_env("BARE_ECHO")
    socket = Path.join(folder, "daemon.sock")
    args = ["run", "--tools", "echoes", "--workers", "2", "--drain-timeout", "0s", "--socket", socket]

    env = [
      {"SIDEWINDER_RUNTIME_DIR", Path.join(folder, "run")},
      {"PYTHONPATH", @python},
      {"PYTHONDONTWRITEBYTECODE", "1"}
    ]

    servers = [{"the daemon", socket, start(daemon, args, env)}]
    bare = Path.join(folder, "bare.sock")
    servers = if rust, do: servers ++ [{"a bare tonic echo", bare, start(rust, ["--bare", bare], [])}], else: servers

    try do
      tables = for {name, socket, _} <- servers, do: report(name, socket, rust, rounds)
      if file, do: write(file, tables, rounds)
    after
      for {_, _, pid} <- servers, do: System.cmd("kill", ["-9", "#{pid}"])
      File.rm_rf!(folder)
    end
  end

  defp start(binary, args, env) do
    env = for {name, value} <- env, do: {to_charlist(name), to_charlist(value)}
    port = Port.open({:spawn_executable, binary}, [:binary, :stderr_to_stdout, cd: @tools, env: env, args: args])
    {:os_pid, pid} = Port.info(port, :os_pid)
    pid
  end

  defp report(name, socket, rust, rounds) do
    {:ok, channel} = Channel.start_link(name: __MODULE__, endpoints: [{:unix, socket}], backoff: [min: 10, max: 100])
    {:ok, _, _} = Channel.unary(__MODULE__, @call, request("echo", "warm"), wait: 20_000)
    # What stands beside has no lease either.
    {:ok, _} = Sidewinder.start_link(name: Sidewinder, address: socket, lease: false, content_type: :bytes)
    alone(@span)

    {ours, theirs} =
      Enum.map(1..rounds, fn round ->
        if rem(round, 2) == 0 do
          ours = ours()
          {ours, theirs(rust, socket)}
        else
          theirs = theirs(rust, socket)
          {ours(), theirs}
        end
      end)
      |> Enum.unzip()

    IO.puts("\n#{name}, over a unix socket, #{rounds} rounds\n")
    IO.puts(row(["", "Elixir", "Rust", "Elixir / Rust", "lowest–highest"]))
    rows = for {key, _, what} <- @names, do: [what | columns(key, ours, rust && theirs)]
    Enum.each(rows, &IO.puts(row(&1)))
    Process.unlink(channel)
    GenServer.stop(channel)
    Sidewinder.stop()
    {name, rows}
  end

  defp columns(key, ours, nil), do: [show(middle(for figures <- ours, do: figures[key])), "", "", ""]

  defp columns(key, ours, theirs) do
    mine = for figures <- ours, do: figures[key]
    other = for figures <- theirs, do: figures[key]
    ratios = for {one, other} <- Enum.zip(mine, other), do: one / other
    [low, high] = for ratio <- [Enum.min(ratios), Enum.max(ratios)], do: ratio(ratio)
    [show(middle(mine)), show(middle(other)), "#{ratio(middle(ratios))} ×", "#{low} – #{high}"]
  end

  defp ratio(ratio), do: :erlang.float_to_binary(ratio, decimals: 2)

  # The page of the other bench, and what is said here behind it.
  defp write(file, tables, rounds) do
    [before | _] = file |> File.read!() |> String.split(@heading)

    told = """

    Against the same server, over a unix socket, #{rounds} rounds in turn; Elixir #{System.version()} on OTP #{System.otp_release()}.
    Calls carry 100 bytes. Of calls a second more is better, of times less. Both clients have one connection. Requests are
    encoded and answers decoded, by either. The rows of `Sidewinder` are what an application calls: options, values and
    telemetry come in there, and the Rust client does nothing of the like.
    """

    File.write!(file, [before, @heading, told | Enum.map(tables, &table/1)])
  end

  defp table({name, rows}) do
    head = ["| #{name} | Elixir | Rust | ratio | lowest – highest |\n", "|---|---:|---:|---:|---:|\n"]
    ["\n", head | for(row <- rows, do: "| #{Enum.join(row, " | ")} |\n")]
  end

  defp row([what | columns]), do: String.pad_trailing(what, 36) <> Enum.map_join(columns, &String.pad_leading(&1, 16))
  defp show(nil), do: ""
  defp show(figure) when figure >= 1_000, do: Integer.to_string(round(figure))
  defp show(figure), do: Float.to_string(Float.round(figure * 1.0, 1))
  defp middle(figures), do: figures |> Enum.sort() |> Enum.at(div(length(figures), 2))

  defp theirs(nil, _), do: %{}

  defp theirs(rust, socket) do
    {line, 0} = System.cmd(rust, ["--client", socket])
    for {key, theirs, _} <- @names, into: %{}, do: {key, number(line, theirs)}
  end

  # The one line has names and numbers and nothing else.
  defp number(line, key) do
    [_, figure] = Regex.run(~r/"#{key}":([0-9.]+)/, line)
    figure |> Float.parse() |> elem(0)
  end

  defp ours do
    %{
      unary: middle(alone(@span)) / 1_000,
      call: middle(calls(System.monotonic_time(:millisecond) + @span, [])) / 1_000,
      callers_32: together(32),
      callers_256: together(256),
      large: middle(alone(1_000, :binary.copy(<<7>>, 10_000_000))) / 1_000_000,
      stream: apart(&stream/0),
      items: apart(&items/0)
    }
  end

  # In a process of its own, as readers are: the heap of this one is full of what was measured before.
  defp apart(fun), do: fun |> Task.async() |> Task.await(:infinity)

  # Nanoseconds of each call, one after the other.
  defp alone(span, body \\ :binary.copy(<<7>>, 100)),
    do: until(System.monotonic_time(:millisecond) + span, body, [])

  defp until(till, body, times) do
    {time, _} =
      timed(fn ->
        {:ok, answer, _} = Channel.unary(__MODULE__, @call, request("echo", body))
        {:ok, %{value: %{data: data}}} = Proto.CallResponse.decode(answer)
        true = byte_size(data) == byte_size(body)
      end)

    times = [time | times]
    if System.monotonic_time(:millisecond) >= till, do: times, else: until(till, body, times)
  end

  defp calls(till, times) do
    {time, {:ok, _}} = timed(fn -> Sidewinder.call("echo", :binary.copy(<<7>>, 100)) end)
    if System.monotonic_time(:millisecond) >= till, do: [time | times], else: calls(till, [time | times])
  end

  defp timed(fun) do
    begun = System.monotonic_time()
    done = fun.()
    {System.convert_time_unit(System.monotonic_time() - begun, :native, :nanosecond), done}
  end

  defp together(callers) do
    begun = System.monotonic_time(:microsecond)
    calls = 1..callers |> Enum.map(fn _ -> Task.async(fn -> length(alone(@span)) end) end) |> Task.await_many(:infinity)
    Enum.sum(calls) * 1_000_000 / (System.monotonic_time(:microsecond) - begun)
  end

  defp stream do
    begun = System.monotonic_time(:microsecond)
    {:ok, stream} = Channel.open(__MODULE__, @stream, request: request("count", "#{@items}"))
    @items = drain(stream, 0)
    (System.monotonic_time(:microsecond) - begun) / 1_000
  end

  defp drain(stream, count) do
    case Channel.take(stream, Proto.Item) do
      {:ok, items} ->
        Enum.each(items, fn item -> %{value: %Proto.Payload{}} = item end)
        drain(stream, count + length(items))

      {:end, _} ->
        count
    end
  end

  defp items do
    begun = System.monotonic_time(:microsecond)
    @items = "count" |> Sidewinder.stream("#{@items}") |> Enum.reduce(0, fn _, count -> count + 1 end)
    (System.monotonic_time(:microsecond) - begun) / 1_000
  end

  defp request(tool, body) do
    payload = %Proto.Payload{data: body, content_type: "application/octet-stream"}
    Proto.CallRequest.encode(%Proto.CallRequest{call: %Proto.Call{tool: tool}, arguments: payload})
  end
end

{given, rounds, []} = OptionParser.parse(System.argv(), strict: [write: :string])
rounds |> List.first("5") |> String.to_integer() |> Figures.run(given[:write])
