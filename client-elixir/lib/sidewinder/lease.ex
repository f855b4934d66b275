defmodule Sidewinder.Lease do
  @moduledoc """
  Being there: the process that tells the daemon that this BEAM lives, and hears that the daemon does.

  It runs at high priority and never waits for anybody: `Sidewinder.Lease.Machine` decides, `Sidewinder.Lease.Line` does
  the talking in processes of its own, and `Sidewinder.Lease.Bell` knows the listeners. Calls read the lease in the
  client's table; only one that finds none, or was refused by it, asks here, and is answered when there is a new one. At
  most `waiting_max` of them wait.

  When it is stopped by its supervisor it detaches, so that the daemon can tell a stop from a crash. When it crashes, its
  successor comes back with the same run and goes on with the lease.
  """

  use GenServer, shutdown: 5_000

  alias Sidewinder.{Client, Error}
  alias Sidewinder.Lease.{Bell, Line, Machine}
  alias Sidewinder.Proto.Google.Duration
  alias Sidewinder.Proto.Hello

  @goodbye_ms 1_000
  @restart_ms 10

  @typedoc "A lease as calls say it: its name and its epoch."
  @type said :: {String.t(), non_neg_integer}

  @doc false
  @spec start_link(Client.t()) :: GenServer.on_start()
  def start_link(client), do: GenServer.start_link(__MODULE__, client, name: Client.part(client.name, :Lease))

  @doc """
  The lease for a call: at once when there is one; otherwise when there is, or when the time is up.

  `{:ok, nil}` means that none is said: the client wants none, the daemon knows nothing of leases, or there are several
  daemons, each of which would know only its own.
  """
  @spec here(Client.t(), integer | :infinity) :: {:ok, nil | said} | {:error, Error.t()}
  def here(%{leased: false}, _deadline), do: {:ok, nil}

  def here(client, deadline) do
    case Client.lookup(client.name, :lease) do
      {:ok, said} -> {:ok, said}
      :error -> newer(client, nil, deadline)
    end
  end

  @doc "Another lease than `old`, with which a call was refused."
  @spec newer(Client.t(), nil | said, integer | :infinity) :: {:ok, nil | said} | {:error, Error.t()}
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
    {:ok, run} = Client.lookup(client.name, :run)
    state = %{client: client, machine: Machine.new(hello(client, run)), line: nil, waiting: [], timer: nil, why: nil}
    {:ok, state, {:continue, :start}}
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
    case {Client.lookup(state.client.name, :lease), {machine.lease, machine.epoch}} do
      {{:ok, nil}, _} -> {:reply, {:ok, nil}, state}
      {_, held} when machine.phase == :attached and held != old -> {:reply, {:ok, noted(state, held)}, state}
      _ -> {:noreply, state |> refused_by(old) |> wait_for(from, old, until)}
    end
  end

  defp noted(state, held) do
    :ok = Client.note(state.client, :lease, held)
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
    for {waiter, _, _} <- gone, do: GenServer.reply(waiter, {:error, not_attached(state.why)})
    {:noreply, %{state | waiting: waiting}}
  end

  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  def terminate(reason, state) do
    {machine, effects} = Machine.handle(state.machine, {:detach, why(reason)}, now())

    case {effects, state.line} do
      {[{:send, message}], %{} = line} ->
        :ok = Line.say_goodbye(line, message, @goodbye_ms)
        Client.forget(state.client, :lease)
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
    said = {told.lease, told.epoch}
    :ok = Client.note(state.client, :lease, said)
    Bell.ring(state.client, {:granted, told})
    for {from, _old, _timer} <- state.waiting, do: GenServer.reply(from, {:ok, said})
    %{state | waiting: cancel(state.waiting), why: nil}
  end

  defp act(:unsupported, state) do
    Bell.ring(state.client, :unsupported)
    for {from, _old, _timer} <- state.waiting, do: GenServer.reply(from, {:ok, nil})
    :ok = Client.note(state.client, :lease, nil)
    %{state | waiting: cancel(state.waiting)}
  end

  defp act({:refused, why, pause}, state) do
    Bell.ring(state.client, {:refused, why, pause})
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

  # Waiting would not help: an operator has to change something.
  defp final?(%Error{reason: reason}), do: reason in [:other_mode, :bad_request, :permission_denied, :unauthenticated]
  defp final?(_why), do: false

  defp cancel(waiting) do
    for {_from, _old, timer} <- waiting, do: Process.cancel_timer(timer)
    []
  end

  defp refused_by(state, nil), do: state

  defp refused_by(state, old) do
    Client.forget(state.client, :lease)
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
