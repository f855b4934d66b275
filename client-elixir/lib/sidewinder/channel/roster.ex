defmodule Sidewinder.Channel.Roster do
  @moduledoc """
  The process behind a channel: it knows the addresses, keeps connections to each of them, and publishes those that may be
  taken.

      endpoints ──Discovery──▶ addresses ──×size──▶ slots ──Connection──▶ published places ──Choice──▶ callers

  A slot is a permanent place for a connection, as long as its address is named. A connection that ends is replaced: at
  once when it had served for a while, after a pause otherwise. A connection whose address is no longer named takes no
  more calls and ends with its last one.

  What is ready is published unless its address says that it does not serve. Callers that find nothing wait here. Those
  that are not patient are told as soon as the latest try of every slot has failed; a connection that was ready and died
  is expected to come back.
  """

  use GenServer
  alias Sidewinder.Channel.{Backoff, Breaker, Choice, Discovery, Health, Waiting}
  alias Sidewinder.Connection
  alias Sidewinder.Connection.Socket
  alias Sidewinder.Wire.Status

  # A connection that lived this long is replaced without a pause, in milliseconds.
  @lived 1_000
  # Between two questions for the same name, at least, in milliseconds.
  @resolve_min 200

  # However often a server complains: a silent one is asked after an hour, in milliseconds.
  @keepalive_max 3_600_000

  defstruct [:table, :opts, :waiting, follower: nil, names: %{}, addresses: %{}, slots: %{}]

  @doc "Starts with options that are complete."
  @spec start_link(map) :: GenServer.on_start()
  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, name: opts.name)

  @doc "Asks to be told by `{ref, :ready}` or `{ref, {:error, status}}`; `ref` is an alias of this process."
  @spec await(atom, reference, [pid], boolean) :: :ok
  def await(channel, ref, tried, patient), do: say(channel, {:await, ref, self(), tried, patient})

  @doc "Not any more."
  @spec forget(atom, reference) :: :ok
  def forget(channel, ref), do: say(channel, {:forget, ref})

  @doc "The fuse of an address has changed."
  @spec fuse(atom, :opened | :closed, Socket.address()) :: :ok
  def fuse(channel, what, address), do: say(channel, {:fuse, what, address})

  @doc "Callers that wait look again."
  @spec stir(atom) :: :ok
  def stir(channel), do: say(channel, :stir)

  @doc "The calling process, and no other any more, is told the addresses."
  @spec follow(atom) :: :ok
  def follow(channel), do: say(channel, {:follow, self()})

  # A channel that is gone is found out by the monitor that came before.
  defp say(channel, message) do
    send(channel, message)
    :ok
  rescue
    ArgumentError -> :ok
  end

  @impl true
  def init(opts) do
    Process.flag(:trap_exit, true)
    table = Choice.table(opts.name)
    Choice.publish(table, [], limits(opts))
    {:ok, %__MODULE__{table: table, opts: opts, waiting: Waiting.new(opts.max_waiting)}, {:continue, :start}}
  end

  @impl true
  def handle_continue(:start, state) do
    {names, fixed} = Enum.split_with(state.opts.endpoints, &Discovery.name?/1)
    state = Enum.reduce(names, state, &resolve/2)
    {:noreply, settle(%{state | names: Map.put(state.names, :fixed, named(fixed))})}
  end

  @impl true
  def handle_info({:await, ref, pid, tried, patient}, state) do
    cond do
      Enum.any?(passable(state), &(&1 not in tried)) ->
        Waiting.go(ref)
        {:noreply, state}

      not patient and hopeless?(state) ->
        Waiting.refuse(ref, Status.unsent(:unavailable, why(state), :transport))
        {:noreply, state}

      true ->
        {:noreply, %{state | waiting: Waiting.add(state.waiting, ref, pid, tried, patient)}}
    end
  end

  def handle_info({:forget, ref}, state), do: {:noreply, %{state | waiting: Waiting.forget(state.waiting, ref)}}

  def handle_info({:DOWN, monitor, :process, _, _}, state),
    do: {:noreply, %{state | waiting: Waiting.died(state.waiting, monitor)}}

  def handle_info({:connect, key}, state) do
    case state.slots do
      %{^key => %{phase: :resting}} -> {:noreply, connect(key, state)}
      _ -> {:noreply, state}
    end
  end

  def handle_info({:connection, pid, what}, state), do: {:noreply, of_slot(state, pid, &connection(what, &1, &2, &3))}
  def handle_info({:EXIT, pid, reason}, state), do: {:noreply, ended(pid, reason, state)}

  def handle_info({:health, pid, health}, state),
    do: {:noreply, of_slot(state, pid, fn {address, _}, _, state -> change(state, address, %{health: health}) end)}

  def handle_info({:fuse, what, address}, state), do: {:noreply, fused(what, address, state)}
  def handle_info(:stir, state), do: {:noreply, %{state | waiting: Waiting.stir(state.waiting)}}
  def handle_info({:follow, pid}, state), do: {:noreply, followed(%{state | follower: pid})}
  def handle_info({:resolve, endpoint}, state), do: {:noreply, resolve(endpoint, state)}
  def handle_info({:resolved, endpoint, found}, state), do: {:noreply, resolved(endpoint, found, state)}
  def handle_info(_, state), do: {:noreply, state}

  ## Names

  defp resolve(endpoint, state) do
    case Map.get(state.names, endpoint, %{addresses: [], why: nil, asked: nil, asking: nil}) do
      %{asking: nil} = name ->
        roster = self()
        dns = state.opts.dns
        {:ok, pid} = Task.start_link(fn -> send(roster, {:resolved, endpoint, Discovery.addresses(endpoint, dns)}) end)
        %{state | names: Map.put(state.names, endpoint, %{name | asking: pid, asked: now()})}

      _ ->
        state
    end
  end

  defp resolved(endpoint, found, state) do
    Process.send_after(self(), {:resolve, endpoint}, state.opts.resolve_every)
    name = %{Map.fetch!(state.names, endpoint) | asking: nil}

    name =
      case found do
        {:ok, addresses} -> %{name | addresses: addresses, why: nil}
        {:error, why} -> %{name | why: why}
      end

    settle(%{state | names: Map.put(state.names, endpoint, name)})
  end

  # A lost connection may mean that the name means something else by now.
  defp resolve_soon(state) do
    for {endpoint, %{asked: asked, asking: nil}} <- state.names, asked != nil, reduce: state do
      state ->
        if now() - asked >= @resolve_min, do: resolve(endpoint, state), else: state
    end
  end

  defp named(addresses), do: %{addresses: addresses, why: nil, asked: nil, asking: nil}

  # Slots for what is named, and none for what is not.
  defp settle(state) do
    named = state.names |> Map.values() |> Enum.flat_map(& &1.addresses) |> Enum.uniq()
    state = Enum.reduce(Map.keys(state.addresses) -- named, state, &retire/2)
    state = Enum.reduce(named -- Map.keys(state.addresses), state, &found/2)
    state |> followed() |> tell()
  end

  defp followed(state) do
    if state.follower, do: send(state.follower, {:addresses, Map.keys(state.addresses)})
    state
  end

  defp found(address, state) do
    fresh = %{breaker: Breaker.new(state.opts.breaker[:failures]), health: :unknown, watcher: nil}
    state = %{state | addresses: Map.put(state.addresses, address, fresh)}
    Enum.reduce(1..state.opts.size, state, &connect({address, &1}, &2))
  end

  defp retire(address, state) do
    {gone, left} = Enum.split_with(state.slots, fn {{of, _}, _} -> of == address end)
    for {_, %{pid: pid}} when pid != nil <- gone, do: send(pid, :retire)
    %{state | slots: Map.new(left), addresses: Map.delete(state.addresses, address)}
  end

  ## Connections

  defp connect({address, _} = key, state) do
    load = :counters.new(1, [:write_concurrency])
    options = state.opts.connection |> Map.merge(%{address: address, owner: self(), load: load})
    {:ok, pid} = Connection.start_link(Map.to_list(options))
    before = Map.get(state.slots, key, %{failures: 0, why: nil})
    slot = Map.merge(before, %{pid: pid, load: load, phase: :connecting, since: now(), watched: false})
    put(state, key, slot)
  end

  defp connection(:ready, {address, _} = key, slot, state),
    do: state |> put(key, %{slot | phase: :ready, since: now()}) |> watch(address) |> tell()

  # It ends when its last call does; another one takes its place now.
  defp connection(:draining, key, slot, state), do: key |> replace(slot, nil, state) |> resolve_soon() |> tell()

  # Connections that are made from now on ask half as often.
  defp connection(:pinged_too_often, _, _, state) do
    calmer = Keyword.update!(state.opts.connection.keepalive, :every, &min(2 * &1, @keepalive_max))
    put_in(state.opts.connection.keepalive, calmer)
  end

  defp ended(pid, reason, state) do
    case Enum.find(state.addresses, fn {_, known} -> known.watcher == pid end) do
      {address, _} ->
        # What was watched is not any more: until somebody says otherwise it serves.
        state |> change(address, %{watcher: nil, health: :unknown}) |> watch(address) |> tell()

      nil ->
        state
        |> unasked(pid, reason)
        |> of_slot(pid, fn key, slot, state ->
          key |> replace(slot, Connection.ended(reason).message, state) |> resolve_soon() |> tell()
        end)
    end
  end

  # Who asked for a name has failed instead of bringing an answer.
  defp unasked(state, pid, reason) do
    case Enum.find(state.names, fn {_, name} -> name.asking == pid end) do
      {endpoint, _} ->
        resolved(endpoint, {:error, "asking for #{elem(endpoint, 1)} failed: #{Exception.format_exit(reason)}"}, state)

      nil ->
        state
    end
  end

  defp replace(key, slot, why, state) do
    lived = slot.phase == :ready and now() - slot.since >= @lived
    failures = if lived, do: 0, else: slot.failures + 1
    Process.send_after(self(), {:connect, key}, Backoff.pause(failures, state.opts.backoff))
    # What was ready will likely be ready again: that is waited for. What was not is told.
    why = if slot.phase == :ready, do: nil, else: why
    put(state, key, %{slot | pid: nil, phase: :resting, failures: failures, why: why})
  end

  ## Health and fuses

  # One watch for each address, and one at most for each connection.
  defp watch(%{opts: %{health: nil}} = state, _), do: state

  defp watch(state, address) do
    known = Map.get(state.addresses, address)
    free = Enum.find(state.slots, &match?({{^address, _}, %{phase: :ready, watched: false}}, &1))

    if known && known.watcher == nil && free do
      {key, slot} = free
      {:ok, watcher} = Health.start_link(self(), slot.pid, state.opts.health)
      state = put(state, key, %{slot | watched: true})
      %{state | addresses: Map.put(state.addresses, address, %{known | watcher: watcher})}
    else
      state
    end
  end

  defp change(state, address, changes) do
    case state.addresses do
      %{^address => known} ->
        tell(%{state | addresses: Map.put(state.addresses, address, Map.merge(known, changes))})

      _ ->
        state
    end
  end

  defp fused(what, address, state) do
    case state.addresses do
      %{^address => %{breaker: breaker}} ->
        if what == :cooled and Breaker.state(breaker) != :closed, do: Breaker.try_again(breaker)

        if what == :opened or (what == :cooled and Breaker.state(breaker) != :closed),
          do: Process.send_after(self(), {:fuse, :cooled, address}, Backoff.pause(1, cooldown(state)))

        tell(state)

      _ ->
        state
    end
  end

  defp limits(opts), do: Map.take(opts, [:window, :max_message])

  defp cooldown(state), do: [min: state.opts.breaker[:cooldown], max: state.opts.breaker[:cooldown]]

  ## What callers see

  # Publishes what may be taken, and answers those who wait.
  defp tell(state) do
    places = places(state)
    Choice.publish(state.table, places, limits(state.opts))
    Choice.explain(state.table, if(places == [], do: why(state), else: ""))
    waiting = Waiting.serve(state.waiting, passable(places))
    waiting = if hopeless?(state), do: Waiting.disappoint(waiting, why(state)), else: waiting
    %{state | waiting: waiting}
  end

  defp places(state) do
    several = map_size(state.addresses) > 1

    for {{address, _}, %{phase: :ready} = slot} <- state.slots,
        %{health: health, breaker: breaker} = Map.fetch!(state.addresses, address),
        health != :not_serving,
        do: {slot.pid, slot.load, address, if(several, do: breaker)}
  end

  defp passable(%__MODULE__{} = state), do: state |> places() |> passable()
  defp passable(places), do: for({pid, _, _, fuse} <- places, fuse == nil or Breaker.passable?(fuse), do: pid)

  # Every name has been asked for, and there is a reason against every slot.
  defp hopeless?(state) do
    Enum.all?(state.names, fn {_, name} -> name.asked == nil or name.addresses != [] or name.why != nil end) and
      passable(state) == [] and Enum.all?(state.slots, fn {key, slot} -> against(key, slot, state) != nil end)
  end

  defp against({address, _}, %{phase: :ready}, state) do
    if state.addresses[address].health == :not_serving,
      do: "#{Socket.show(address)}: it does not serve, says its health",
      else: "#{Socket.show(address)}: several calls in a row were lost, so it rests (breaker)"
  end

  defp against(_, slot, _), do: slot.why

  defp why(state) do
    slots = Enum.map(state.slots, fn {key, slot} -> against(key, slot, state) end)
    names = Enum.map(state.names, fn {_, name} -> name.why end)
    (names ++ slots) |> Enum.reject(&is_nil/1) |> Enum.uniq() |> Enum.take(5) |> Enum.join("; ")
  end

  defp of_slot(state, pid, change) do
    case Enum.find(state.slots, fn {_, slot} -> slot.pid == pid end) do
      {key, slot} -> change.(key, slot, state)
      nil -> state
    end
  end

  defp put(state, key, slot), do: %{state | slots: Map.put(state.slots, key, slot)}
  defp now, do: System.monotonic_time(:millisecond)
end
