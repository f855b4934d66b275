defmodule Sidewinder.Churn do
  @moduledoc """
  Many callers that do all kinds of things to a real daemon by chance, and the question what they left behind.

  Calls may fail with a status that says how; an answer that comes must be the right one.
  """

  import ExUnit.Assertions
  import Sidewinder.Asking
  import Sidewinder.Served, only: [request: 2, request: 3, value: 1]
  alias Sidewinder.Channel
  alias Sidewinder.Channel.Choice
  alias Sidewinder.Wire.Status

  @call "/sidewinder.v1.Calls/Call"
  @stream "/sidewinder.v1.Calls/Stream"

  @doc "So many callers of a channel, each with so many things to do."
  def round(channel, callers, things), do: crowd(callers, things, fn -> something(channel, :rand.uniform(6)) end)

  @doc "The same with a client, through everything that applications call."
  def round_of(client, callers, things), do: crowd(callers, things, fn -> anything(client, :rand.uniform(9)) end)

  defp crowd(callers, things, thing) do
    seed = :rand.uniform(1_000_000)

    1..callers
    |> Enum.map(fn caller ->
      Task.async(fn ->
        :rand.seed(:exsss, seed + caller)
        for _ <- 1..things, do: thing.()
      end)
    end)
    |> Task.await_many(120_000)
  end

  defp something(channel, 1) do
    number = :rand.uniform(1_000)
    answer = Channel.unary(channel, @call, request("add", ~s({"a": #{number}})), deadline: soon(30_000), wait: true)
    assert {:ok, answer, _} = answer
    assert value(answer) == "#{number + 2}"
  end

  defp something(channel, 2),
    do: Channel.unary(channel, @call, request("add", ~s({"a": 1})), deadline: soon(:rand.uniform(5) - 1))

  defp something(channel, 3) do
    until = :rand.uniform(300)
    {:ok, stream} = count(channel, until)
    for number <- 0..(until - 1), do: assert({:ok, value} = Channel.recv(stream)) && assert(value(value) == "#{number}")
    assert {:end, _} = Channel.recv(stream)
  end

  defp something(channel, 4) do
    {:ok, stream} = count(channel, 100_000)
    for _ <- 1..:rand.uniform(20), do: assert({:ok, _} = Channel.recv(stream))
    Channel.cancel(stream)
  end

  defp something(channel, 5) do
    body = :rand.bytes(:rand.uniform(200_000))
    request = request("reverse", body, "application/octet-stream")
    assert {:ok, answer, _} = Channel.unary(channel, @call, request, deadline: soon(30_000), wait: true)
    assert byte_size(value(answer)) == byte_size(body)
  end

  defp something(channel, 6) do
    {caller, monitor} = spawn_monitor(fn -> Channel.unary(channel, @call, request("wait", ~s({"timeout": 0.01}))) end)
    if :rand.uniform(2) == 1, do: Process.exit(caller, :kill)
    receive do: ({:DOWN, ^monitor, _, _, _} -> :ok)
  end

  defp count(channel, until) do
    request = request("count", ~s({"until": #{until}}))

    case Channel.open(channel, @stream, request: request, deadline: soon(30_000), wait: true) do
      {:error, %Status{sent: :no}} -> count(channel, until)
      opened -> opened
    end
  end

  # Calls may be refused or lost when a daemon or a connection dies; none may have another one's answer.
  defp anything(client, 1) do
    number = :rand.uniform(1_000)
    assert answer(Sidewinder.call(client, "add", %{a: number, b: 1})) in [number + 1, :failed]
  end

  defp anything(client, 2), do: Sidewinder.call(client, "wait", %{timeout: 1}, timeout: :rand.uniform(5))

  defp anything(client, 3) do
    items = Enum.take(Sidewinder.stream(client, "count", %{until: :rand.uniform(300)}), :rand.uniform(400))
    assert items == Enum.to_list(0..(length(items) - 1)//1)
  rescue
    Sidewinder.Error -> :failed
  end

  defp anything(client, 4) do
    inputs = 1..:rand.uniform(50)
    assert answer(Sidewinder.upload(client, "total", inputs)) in [Enum.sum(inputs), :failed]
  end

  defp anything(client, 5) do
    inputs = 1..:rand.uniform(50)
    items = Enum.take(Sidewinder.converse(client, "double", inputs), :rand.uniform(60))
    assert items == Enum.map(Enum.take(inputs, length(items)), &(2 * &1))
  rescue
    Sidewinder.Error -> :failed
  end

  defp anything(client, 6), do: Sidewinder.cast(client, "add", %{a: 1})

  defp anything(client, 7) do
    {caller, monitor} = spawn_monitor(fn -> Sidewinder.call(client, "wait", %{timeout: 0.01}) end)
    if :rand.uniform(2) == 1, do: Process.exit(caller, :kill)
    receive do: ({:DOWN, ^monitor, _, _, _} -> :ok)
  end

  defp anything(client, 8) do
    key = "k#{:rand.uniform(20)}"
    session = Sidewinder.session(client, key)
    assert answer(Sidewinder.call(session, "add", %{a: 1}, idempotency_key: key)) in [3, :failed]
    assert answer(Sidewinder.result(client, key)) in [3, :failed]
  end

  defp anything(client, 9) do
    _ = Sidewinder.subscribe(client)
    :ok = Sidewinder.unsubscribe(client)
    drained()
  end

  defp answer({:ok, value}), do: value
  defp answer({:error, %Sidewinder.Error{}}), do: :failed

  defp drained do
    receive do
      {:sidewinder, _, _} -> drained()
    after
      0 -> :ok
    end
  end

  @doc """
  No call is counted but those that are meant to stay, as that of a lease is, and no connection holds any state of one, but
  for a watch of health.
  """
  def nothing_left(channel, stay \\ 0) do
    eventually(fn -> load(channel) == stay end)
    {places, _} = Choice.published(channel)

    counted =
      for {connection, _, _, _} <- places do
        %{calls: calls, machine: machine} = :sys.get_state(connection)
        {counted, watches} = Enum.split_with(calls.calls, fn {_, call} -> call.counted end)
        assert length(watches) in [0, 1]
        # Whoever has just ended is heard of a little later.
        eventually(fn -> watched(connection) == connection |> :sys.get_state() |> callers() end)
        assert Enum.sum(for {_, {_, refs}} <- calls.callers, do: map_size(refs)) == map_size(calls.calls)
        assert Enum.uniq([map_size(calls.ids), map_size(machine.streams)]) == [map_size(calls.calls)]
        assert {machine.blocked, machine.fresh, calls.waiting} == {[], [], 0}
        length(counted)
      end

    assert Enum.sum(counted) == stay
  end

  defp watched(connection),
    do: connection |> Process.info(:monitors) |> elem(1) |> Keyword.get_values(:process) |> Enum.sort()

  defp callers(%{calls: calls}), do: calls.callers |> Map.keys() |> Enum.sort()

  @doc "What this BEAM weighs at the end is what it weighed before, but for what a machine does by itself."
  def same_weight(before) do
    now = weight()
    IO.puts("soak: before #{inspect(before)}, after #{inspect(now)}")
    assert now.bytes < before.bytes + 8_000_000
    assert now.processes <= before.processes + 2 and now.ports <= before.ports + 2
    assert now.atoms <= before.atoms + 200
  end

  @doc "Rounds until the time of a soak is over (`SOAK_SECONDS`). Each minute it is said what all weighs."
  def soak(state, round) do
    ends = soon(1_000 * String.to_integer(System.get_env("SOAK_SECONDS", "600")))
    soak(state, round, 1, ends, soon(60_000))
  end

  defp soak(state, round, number, ends, say) do
    state = round.(number, state)
    now = System.monotonic_time(:millisecond)
    if now > say, do: IO.puts("soak: after #{number} rounds #{inspect(weight())}")
    say = if now > say, do: soon(60_000), else: say
    if now > ends, do: state, else: soak(state, round, number + 1, ends, say)
  end

  @doc "What this BEAM weighs, once everything that can be collected is."
  def weight do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)

    %{
      bytes: :erlang.memory(:total),
      processes: length(Process.list()),
      ports: length(Port.list()),
      atoms: :erlang.system_info(:atom_count)
    }
  end
end
