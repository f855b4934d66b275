defmodule Sidewinder.Lease do
  @moduledoc """
  Being there: the process that tells the daemon that this BEAM lives, and hears that the daemon does.

  It runs at high priority and never waits for anybody: `Sidewinder.Lease.Machine` decides, `Sidewinder.Lease.Line` does
  the talking in processes of its own, and `Sidewinder.Lease.Bell` knows the listeners. Calls read the lease in the
  client's table; only one that finds none, or was refused by it, asks here, and is answered when there is a new one. At
  most `waiting_max` of them wait.

  Where there are several daemons, each grants a lease of its own, and `Sidewinder.Lease.Each` keeps one of these processes
  for each address. A call is made under the lease of the daemon that it goes to, so it goes to one that has granted a
  lease; one that is refused because its lease has ended goes to another daemon at once.

  When it is stopped by its supervisor it detaches, so that the daemon can tell a stop from a crash. When it crashes, its
  successor comes back with the same run and goes on with the lease.
  """

  use GenServer, shutdown: 5_000

  alias Sidewinder.{Client, Error}
  alias Sidewinder.Connection.Socket
  alias Sidewinder.Lease.{Bell, Each, Line, Machine}
  alias Sidewinder.Proto.Google.Duration
  alias Sidewinder.Proto.Hello

  @goodbye_ms 1_000
  @restart_ms 10

  @typedoc "A lease as calls say it: its name and its epoch."
  @type said :: {String.t(), non_neg_integer}

  @typedoc "What a call is to be made under: no lease, the one there is, or that of the daemon it goes to."
  @type under :: nil | said | :each

  @typedoc "What a call was made under."
  @type used :: under | {:each, tuple, nil | said}

  @doc false
  @spec start_link(Client.t()) :: GenServer.on_start()
  def start_link(%{at: nil} = client),
    do: GenServer.start_link(__MODULE__, client, name: Client.part(client.name, :Lease))

  def start_link(client), do: GenServer.start_link(__MODULE__, client)

  @doc """
  The lease for a call: at once when there is one; otherwise when there is, or when the time is up.

  `{:ok, nil}` means that none is said: the client wants none, or the daemon knows nothing of leases. `{:ok, :each}`: that
  of the daemon that will be called, see `held/2`.
  """
  @spec here(Client.t(), integer | :infinity) :: {:ok, under} | {:error, Error.t()}
  def here(%{leases: :none}, _deadline), do: {:ok, nil}
  def here(%{leases: :each}, _deadline), do: {:ok, :each}

  def here(client, deadline) do
    case Client.lookup(client.name, :lease) do
      {:ok, said} -> {:ok, said}
      :error -> newer(client, nil, deadline)
    end
  end

  @doc "The lease that is held with one of several daemons."
  @spec held(Client.t(), tuple) :: {:ok, nil | said} | :none
  def held(client, address) do
    with :error <- Client.lookup(client.name, {:lease, address}), do: :none
  end

  @doc "Why none of several daemons has granted a lease, if that is so and one of them has said why."
  @spec refused(Client.t()) :: nil | Error.t()
  def refused(client) do
    said = for {_, %Error{code: code} = why} when code != :unavailable <- Client.each(client, :lease_refused), do: why
    if said != [] and Client.each(client, :lease) == [], do: not_attached(hd(said))
  end

  @doc "What to make a call under that was refused because of what it was made under."
  @spec newer(Client.t(), used, integer | :infinity) :: {:ok, under} | {:error, Error.t()}
  def newer(client, {:each, address, old}, _deadline) do
    :ok = Client.forget(client, {:lease, address}, old)
    with {:ok, lease} <- Client.lookup(client.name, {:lease_keeper, address}), do: send(lease, {:refused, old})
    {:ok, :each}
  end

  def newer(client, old, deadline) do
    until = min(deadline, now() + client.options.wait)
    ask(client, {:newer, old, until}, until)
  end

  # A lease that crashed is there again in a moment; without a supervisor there is none to wait for.
  defp ask(client, question, until) do
    GenServer.call(Client.part(client.name, :Lease), question, :infinity)
  catch
    :exit, _ ->
      if now() < until and Process.whereis(client.name) != nil do
        Process.sleep(@restart_ms)
        ask(client, question, until)
      else
        {:error, not_attached("the client is stopping")}
      end
  end

  @doc "What is known of the lease and of the daemon behind it."
  @spec info(Client.t()) :: map
  def info(%{leases: :each} = client) do
    trips = Map.new(Client.each(client, :round_trip_us))

    leases =
      for {address, info} <- Client.each(client, :lease_info),
          do: Map.merge(info, %{daemon: Socket.show(address), round_trip_us: trips[address]})

    %{attached: Enum.any?(leases, & &1.attached), leases: Enum.sort_by(leases, & &1.daemon)}
  end

  def info(client) do
    case Client.lookup(client.name, :lease_info) do
      {:ok, info} -> info
      :error -> %{attached: false}
    end
  end

  @impl true
  def init(client) do
    Process.flag(:trap_exit, true)
    Process.flag(:priority, :high)
    if client.at, do: Client.note(client, Client.key(client, :lease_keeper), self())

    state = %{
      client: client,
      machine: Machine.new(hello(client, run(client))),
      line: nil,
      waiting: [],
      timer: nil,
      why: nil
    }

    {:ok, state, {:continue, :start}}
  end

  defp run(%{at: at} = client) do
    {:ok, run} = Client.lookup(client.name, :run)
    if at, do: Each.run(run, at), else: run
  end

  defp hello(client, run) do
    options = client.options

    %Hello{
      name: options.client_name || inspect(client.name),
      node: Atom.to_string(node()),
      run: run,
      pid: String.to_integer(System.pid()),
      mode: Client.Mode.word(client.mode),
      labels: options.labels,
      interval: duration(options.interval),
      ttl: duration(options.ttl),
      events: true
    }
  end

  defp duration(nil), do: nil
  defp duration(ms), do: %Duration{seconds: div(ms, 1000), nanos: rem(ms, 1000) * 1_000_000}

  @impl true
  def handle_continue(:start, state), do: {:noreply, step(state, :start)}

  @impl true
  def handle_call({:newer, old, until}, from, %{machine: machine} = state) do
    case {Client.lookup(state.client.name, key(state)), {machine.lease, machine.epoch}} do
      {{:ok, nil}, _} -> {:reply, {:ok, nil}, state}
      {_, held} when machine.phase == :attached and held != old -> {:reply, {:ok, noted(state, held)}, state}
      _ -> {:noreply, state |> refused_by(old) |> wait_for(from, old, until)}
    end
  end

  defp noted(state, held) do
    :ok = Client.note(state.client, key(state), held)
    held
  end

  @impl true
  def handle_info({:line, ear, said}, %{line: %{ear: ear}} = state), do: {:noreply, line(state, said)}
  def handle_info({:line, _older, _said}, state), do: {:noreply, state}

  def handle_info({:EXIT, ear, reason}, %{line: %{ear: ear}} = state) when reason != :normal,
    do: {:noreply, line(state, {:closed, {:crashed, reason}})}

  def handle_info({:EXIT, _pid, _reason}, state), do: {:noreply, state}

  def handle_info({:timeout, timer, :wake}, %{timer: {timer, _}} = state),
    do: {:noreply, step(%{state | timer: nil}, {:wake, load(), us()})}

  def handle_info({:impatient, from}, state) do
    {gone, waiting} = Enum.split_with(state.waiting, fn {waiter, _, _} -> waiter == from end)
    why = state.why || unconnected(state.client)
    for {waiter, _, _} <- gone, do: GenServer.reply(waiter, {:error, not_attached(why)})
    {:noreply, %{state | waiting: waiting}}
  end

  # Somebody's call was, and has gone elsewhere.
  def handle_info({:refused, old}, %{machine: machine} = state) do
    if machine.phase == :attached and {machine.lease, machine.epoch} != old,
      do: {:noreply, granted(state, {machine.lease, machine.epoch})},
      else: {:noreply, refused_by(state, old)}
  end

  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  def terminate(reason, state) do
    {machine, effects} = Machine.handle(state.machine, {:detach, why(reason)}, now())

    case {effects, state.line} do
      {[{:send, message}], %{} = line} ->
        :ok = Line.say_goodbye(line, message, @goodbye_ms)
        Client.forget(state.client, key(state))
        if machine.lease, do: Bell.ring(state.client, {:detached, {machine.lease, machine.epoch}, why(reason)})

      {_, line} ->
        Line.hang_up(line)
    end
  end

  defp why(:shutdown), do: "its supervisor stops"
  defp why({:shutdown, _}), do: "its supervisor stops"
  defp why(:normal), do: "it ends"
  defp why(_crash), do: "it failed"

  defp line(state, {:open, mouth}), do: %{state | line: %{state.line | mouth: mouth}}
  defp line(state, :said), do: %{state | line: %{state.line | speaking: false}}
  defp line(state, {:message, message}), do: step(state, {:message, message, us()})
  defp line(state, {:closed, why}), do: step(%{state | line: nil, why: why}, {:closed, why})

  defp step(state, happening) do
    {machine, effects} = Machine.handle(state.machine, happening, now())
    %{state | machine: machine} |> then(&Enum.reduce(effects, &1, fn effect, state -> act(effect, state) end)) |> arm()
  end

  defp arm(state) do
    wake_at = Machine.wake_at(state.machine)

    case state.timer do
      {_timer, ^wake_at} ->
        state

      armed ->
        with {timer, _} <- armed, do: :erlang.cancel_timer(timer)
        %{state | timer: wake_at && {:erlang.start_timer(wake_at, self(), :wake, abs: true), wake_at}}
    end
  end

  defp act({:open, hello}, state) do
    Line.hang_up(state.line)
    %{state | line: Line.open(state.client, hello)}
  end

  defp act(:hang_up, state) do
    Line.hang_up(state.line)
    %{state | line: nil}
  end

  defp act({:send, message}, state), do: if(state.line, do: %{state | line: Line.say(state.line, message)}, else: state)

  defp act({:granted, told}, state) do
    Bell.ring(state.client, {:granted, told})
    granted(state, {told.lease, told.epoch})
  end

  defp act(:unsupported, state) do
    Bell.ring(state.client, :unsupported)
    granted(state, nil)
  end

  defp act({:refused, why, pause}, state) do
    Bell.ring(state.client, {:refused, why, pause})
    if state.client.at, do: Client.note(state.client, Client.key(state.client, :lease_refused), why)
    if final?(why), do: for({from, _, _} <- state.waiting, do: GenServer.reply(from, {:error, why}))
    %{state | waiting: if(final?(why), do: cancel(state.waiting), else: state.waiting), why: why}
  end

  defp act({:lost, why}, %{machine: machine} = state),
    do: ring(state, {:lost, {machine.lease, machine.epoch}, why})

  defp act({kind, told}, state) when kind in [:beat_sent, :heard, :missed],
    do: ring(state, {kind, state.machine.lease, told})

  defp act({kind, told}, state) when kind in [:event, :standing], do: ring(state, {kind, told})

  defp ring(state, happening) do
    Bell.ring(state.client, happening)
    state
  end

  # Whoever waits for a lease goes on under it; with several daemons callers wait at the channel.
  defp granted(%{client: client} = state, said) do
    :ok = Client.note(client, key(state), said)
    for {from, _old, _timer} <- state.waiting, do: GenServer.reply(from, {:ok, said})

    if client.at do
      Client.forget(client, Client.key(client, :lease_refused))
      client.transport.stir(client.channel)
    end

    %{state | waiting: cancel(state.waiting), why: nil}
  end

  defp key(state), do: Client.key(state.client, :lease)

  # Waiting would not help: an operator has to change something.
  defp final?(%Error{reason: reason}), do: reason in [:other_mode, :bad_request, :permission_denied, :unauthenticated]
  defp final?(_why), do: false

  defp cancel(waiting) do
    for {_from, _old, timer} <- waiting, do: Process.cancel_timer(timer)
    []
  end

  defp refused_by(state, nil), do: state

  defp refused_by(state, old) do
    Client.forget(state.client, key(state))
    step(state, {:refused_call, old})
  end

  defp wait_for(state, from, old, until) do
    if length(state.waiting) >= state.client.options.waiting_max do
      GenServer.reply(from, {:error, not_attached("#{length(state.waiting)} calls wait for the lease already")})
      state
    else
      timer = Process.send_after(self(), {:impatient, from}, until, abs: true)
      %{state | waiting: [{from, old, timer} | state.waiting]}
    end
  end

  defp unconnected(client) do
    case client.transport.why(client.channel) do
      "" -> nil
      why -> "no connection: #{why}"
    end
  end

  defp not_attached(%Error{} = error),
    do: %{error | reason: :not_attached, ran: :no, message: "no lease: " <> error.message}

  defp not_attached(why) do
    what = if is_binary(why), do: why, else: "the daemon has not answered yet"
    %Error{reason: :not_attached, code: :unavailable, ran: :no, message: "no lease: #{what}"}
  end

  defp load, do: :erlang.statistics(:total_run_queue_lengths)
  defp now, do: System.monotonic_time(:millisecond)
  defp us, do: System.monotonic_time(:microsecond)
end
