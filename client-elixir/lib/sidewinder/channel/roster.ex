defmodule Sidewinder.Channel.Roster do
  @moduledoc """
  The process behind a channel: it knows the addresses, keeps connections to each of them, and publishes those that are
  ready.

  A place for a connection is permanent, a connection is not. One that ends is replaced: at once when it had served for a
  while, after a pause that doubles otherwise, with some chance in it so that many clients do not come back together.

  A caller that finds nothing ready waits here, in a bounded number. It is answered when something becomes ready that it
  has not tried, or, unless it asked to wait for that, as soon as the latest try of every place has failed.
  """

  use GenServer
  alias Sidewinder.Channel.{Backoff, Choice}
  alias Sidewinder.Connection
  alias Sidewinder.Wire.Status

  # A connection that lived this long is replaced without a pause, in milliseconds.
  @lived 1_000

  defstruct [:table, :opts, slots: %{}, waiting: %{}]

  @doc "Starts with options that are complete."
  @spec start_link(map) :: GenServer.on_start()
  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, name: opts.name)

  @doc "Asks to be told by `{ref, :ready}` or `{ref, {:error, status}}`; `ref` is an alias of this process."
  @spec await(atom, reference, [pid], boolean) :: :ok
  def await(channel, ref, tried, patient) do
    send(channel, {:await, ref, self(), tried, patient})
    :ok
  rescue
    ArgumentError -> :ok
  end

  @doc "Not any more."
  @spec forget(atom, reference) :: :ok
  def forget(channel, ref) do
    send(channel, {:forget, ref})
    :ok
  rescue
    ArgumentError -> :ok
  end

  @impl true
  def init(opts) do
    Process.flag(:trap_exit, true)
    table = Choice.table(opts.name)
    Choice.publish(table, [])
    {:ok, %__MODULE__{table: table, opts: opts}, {:continue, :start}}
  end

  @impl true
  def handle_continue(:start, state) do
    slots = for address <- state.opts.endpoints, number <- 1..state.opts.size, do: {address, number}
    {:noreply, Enum.reduce(slots, state, &connect/2)}
  end

  @impl true
  def handle_info({:await, ref, pid, tried, patient}, state) do
    cond do
      Enum.any?(ready(state), fn {pid, _, _} -> pid not in tried end) ->
        send(ref, {ref, :ready})
        {:noreply, state}

      not patient and hopeless?(state) ->
        send(ref, {ref, {:error, Status.unsent(:unavailable, why(state), :transport)}})
        {:noreply, state}

      map_size(state.waiting) >= state.opts.max_waiting ->
        full = "#{map_size(state.waiting)} calls wait for a connection already (max_waiting)"
        send(ref, {ref, {:error, Status.unsent(:resource_exhausted, full)}})
        {:noreply, state}

      true ->
        waiter = {tried, patient, Process.monitor(pid)}
        {:noreply, %{state | waiting: Map.put(state.waiting, ref, waiter)}}
    end
  end

  def handle_info({:forget, ref}, state), do: {:noreply, forget_waiter(state, ref)}

  def handle_info({:DOWN, monitor, :process, _, _}, state) do
    case Enum.find(state.waiting, fn {_, {_, _, mine}} -> mine == monitor end) do
      {ref, _} -> {:noreply, forget_waiter(state, ref)}
      nil -> {:noreply, state}
    end
  end

  def handle_info({:connection, pid, what}, state) do
    case Enum.find(state.slots, fn {_, slot} -> slot.pid == pid end) do
      nil -> {:noreply, state}
      {key, slot} -> {:noreply, changed(what, key, slot, state)}
    end
  end

  def handle_info({:EXIT, pid, reason}, state) do
    case Enum.find(state.slots, fn {_, slot} -> slot.pid == pid end) do
      nil -> {:noreply, state}
      {key, slot} -> {:noreply, lost(key, slot, reason, state)}
    end
  end

  def handle_info({:connect, key}, state), do: {:noreply, connect(key, state)}
  def handle_info(_, state), do: {:noreply, state}

  defp connect({address, _} = key, state) do
    load = :counters.new(1, [:write_concurrency])
    options = state.opts.connection |> Map.merge(%{address: address, owner: self(), load: load})
    {:ok, pid} = Connection.start_link(Map.to_list(options))
    before = Map.get(state.slots, key, %{failures: 0, why: nil})
    put(state, key, Map.merge(before, %{pid: pid, load: load, phase: :connecting, since: now()}))
  end

  defp changed(:ready, key, slot, state) do
    state = put(state, key, %{slot | phase: :ready, since: now()})
    publish(state)
    serve(state)
  end

  # It ends when its last call does; another one takes its place now.
  defp changed(:draining, key, slot, state) do
    state = replace(key, slot, "the server went away", state)
    publish(state)
    state
  end

  defp lost(key, slot, reason, state) do
    why = Connection.ended(reason).message
    state = replace(key, slot, why, state)
    publish(state)
    disappoint(state)
  end

  defp replace(key, slot, why, state) do
    lived = slot.phase == :ready and now() - slot.since >= @lived
    failures = if lived, do: 0, else: slot.failures + 1
    Process.send_after(self(), {:connect, key}, Backoff.pause(failures, state.opts.backoff))
    # What was ready will likely be ready again: that is waited for. What was not is told.
    why = if slot.phase == :ready, do: nil, else: why
    put(state, key, %{slot | pid: nil, phase: :resting, failures: failures, why: why})
  end

  defp publish(state), do: Choice.publish(state.table, ready(state))

  defp ready(state),
    do: for({{address, _}, %{phase: :ready} = slot} <- state.slots, do: {slot.pid, slot.load, address})

  defp hopeless?(state),
    do: Enum.all?(state.slots, fn {_, slot} -> slot.why != nil and slot.phase != :ready end)

  defp why(state) do
    state.slots
    |> Enum.map(fn {_, slot} -> slot.why end)
    |> Enum.reject(&is_nil/1)
    |> Enum.uniq()
    |> Enum.join("; ")
  end

  defp serve(state) do
    pids = Enum.map(ready(state), &elem(&1, 0))

    served =
      for {ref, {tried, _, _}} <- state.waiting, Enum.any?(pids, &(&1 not in tried)) do
        send(ref, {ref, :ready})
        ref
      end

    Enum.reduce(served, state, &forget_waiter(&2, &1))
  end

  defp disappoint(state) do
    if hopeless?(state) do
      status = Status.unsent(:unavailable, why(state), :transport)

      disappointed =
        for {ref, {_, false, _}} <- state.waiting do
          send(ref, {ref, {:error, status}})
          ref
        end

      Enum.reduce(disappointed, state, &forget_waiter(&2, &1))
    else
      state
    end
  end

  defp forget_waiter(state, ref) do
    case Map.pop(state.waiting, ref) do
      {nil, _} ->
        state

      {{_, _, monitor}, waiting} ->
        Process.demonitor(monitor, [:flush])
        %{state | waiting: waiting}
    end
  end

  defp put(state, key, slot), do: %{state | slots: Map.put(state.slots, key, slot)}
  defp now, do: System.monotonic_time(:millisecond)
end
