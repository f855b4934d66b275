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

  @doc "So many callers, each with so many things to do."
  def round(channel, callers, things) do
    seed = :rand.uniform(1_000_000)

    1..callers
    |> Enum.map(fn caller ->
      Task.async(fn ->
        :rand.seed(:exsss, seed + caller)
        for _ <- 1..things, do: something(channel, :rand.uniform(6))
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

  @doc "No call is counted, and no connection holds any state of one, but for a watch of health."
  def nothing_left(channel) do
    eventually(fn -> load(channel) == 0 end)
    {places, _} = Choice.published(channel)

    for {connection, _, _, _} <- places do
      %{calls: calls, machine: machine} = :sys.get_state(connection)
      watches = Enum.count(calls.calls, fn {_, call} -> not call.counted end)
      assert watches in [0, 1]
      sizes = {map_size(calls.calls), map_size(calls.monitors), map_size(calls.ids), map_size(machine.streams)}
      assert sizes == {watches, watches, watches, watches}
      assert {machine.blocked, machine.fresh, calls.waiting} == {[], [], 0}
    end
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
