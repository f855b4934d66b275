# What a call costs from here, beside the Rust client on the same server.
#
#     SIDEWINDER_BIN=… BARE_ECHO=… mix run bench/figures.exs [ROUNDS] [--write FILE]
#
# SIDEWINDER_BIN is the daemon, which runs with two workers that echo; BARE_ECHO is `sidewinder-bench`, which is both a bare
# tonic server that does the same without workers, and the Rust client, on either runtime of tokio. Without BARE_ECHO there
# is nothing beside. Clients take turns in each round, because the processors are shared with others; a figure is the middle
# of its rounds, a ratio the middle of their ratios. `--write` puts them behind the page that the other bench has written, or
# in the place of older ones.

defmodule Figures do
  @moduledoc false
  alias Sidewinder.{Channel, Proto}

  @tools Path.expand("../../tests/bench/tools", __DIR__)
  @python Path.expand("../../client-python/src", __DIR__)
  @call "/sidewinder.v1.Calls/Call"
  @stream "/sidewinder.v1.Calls/Stream"
  @span 700
  @items 100_000
  # The other client by its runtime: how its columns are called, and what it is asked for.
  @rust [{"Rust, one thread", []}, {"Rust, several threads", ["--multi-thread"]}]
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
      tables = for {name, socket, _} <- servers, do: table(name, measure(socket, rust, rounds), rust)
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

  # What each client found, ours first, round by round.
  defp measure(socket, rust, rounds) do
    {:ok, channel} = Channel.start_link(name: __MODULE__, endpoints: [{:unix, socket}], backoff: [min: 10, max: 100])
    {:ok, _, _} = Channel.unary(__MODULE__, @call, request("echo", "warm"), wait: 20_000)
    # What stands beside has no lease either.
    {:ok, _} = Sidewinder.start_link(name: Sidewinder, address: socket, lease: false, content_type: :bytes)
    alone(@span)
    clients = [(&ours/0) | for({_, flags} <- beside(rust), do: fn -> theirs(rust, socket, flags) end)]
    found = for round <- 1..rounds, do: in_turn(Enum.with_index(clients), rem(round, length(clients)))
    Process.unlink(channel)
    GenServer.stop(channel)
    Sidewinder.stop()
    Enum.zip_with(found, & &1)
  end

  # Each is the first in its turn.
  defp in_turn(clients, first) do
    {later, sooner} = Enum.split(clients, first)
    for({client, place} <- sooner ++ later, do: {place, client.()}) |> Enum.sort() |> Enum.map(&elem(&1, 1))
  end

  defp beside(nil), do: []
  defp beside(_rust), do: @rust

  defp table(name, [ours | theirs], rust) do
    head = [name, "Elixir" | Enum.flat_map(beside(rust), fn {name, _} -> [name, "ratio", "lowest – highest"] end)]

    rows =
      for {key, _, what} <- @names do
        [mine | others] = for found <- [ours | theirs], do: Enum.map(found, & &1[key])
        [what, show(middle(mine)) | Enum.flat_map(others, &columns(mine, &1))]
      end

    tap([head | rows], &print/1)
  end

  defp columns(mine, other) do
    ratios = for {one, other} <- Enum.zip(mine, other), do: one / other
    [show(middle(other)), "#{ratio(middle(ratios))} ×", "#{ratio(Enum.min(ratios))} – #{ratio(Enum.max(ratios))}"]
  end

  defp ratio(ratio), do: :erlang.float_to_binary(ratio, decimals: 2)

  # The page of the other bench, and what is said here behind it.
  defp write(file, tables, rounds) do
    [before | _] = file |> File.read!() |> String.split(@heading)

    told = """

    Against the same server, over a unix socket, #{rounds} rounds in turn; Elixir #{System.version()} on OTP #{System.otp_release()}.
    Calls carry 100 bytes. Of calls a second more is better, of times less. All clients have one connection. Requests are
    encoded and answers decoded, by each. The rows of `Sidewinder` are what an application calls: options, values and
    telemetry come in there, and the Rust client does nothing of the like.

    The Rust client is tonic on either runtime of tokio, because which of them is the faster one depends on who serves and on
    how many call: on a single thread, where nobody is woken across threads, and on several, which `\#[tokio::main]` makes as
    many as there are processors (#{System.schedulers_online()} here). The BEAM has as many schedulers. A ratio is that of Elixir
    to the column before it, within the same round.
    """

    File.write!(file, [before, @heading, told | Enum.map(tables, &markdown/1)])
  end

  defp markdown([head | rows]) do
    line = ["|---" | List.duplicate("|---:", length(head) - 1)]
    [first | rows] = for row <- [head | rows], do: "| #{Enum.join(row, " | ")} |\n"
    ["\n", first, line, "|\n" | rows]
  end

  defp print(rows) do
    widths = Enum.zip_with(rows, fn column -> column |> Enum.map(&String.length/1) |> Enum.max() end)
    IO.puts("")

    for [what | figures] <- rows do
      figures = Enum.zip_with(figures, tl(widths), &String.pad_leading/2)
      IO.puts([String.pad_trailing(what, hd(widths)) | for(figure <- figures, do: ["  ", figure])])
    end
  end

  defp show(figure) when figure >= 1_000, do: Integer.to_string(round(figure))
  defp show(figure), do: Float.to_string(Float.round(figure * 1.0, 1))
  defp middle(figures), do: figures |> Enum.sort() |> Enum.at(div(length(figures), 2))

  defp theirs(rust, socket, flags) do
    {line, 0} = System.cmd(rust, ["--client", socket | flags])
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
