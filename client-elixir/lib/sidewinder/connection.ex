defmodule Sidewinder.Connection do
  @moduledoc """
  One process for the lifetime of one socket: it connects, lends streams to callers, and ends with the socket. It never
  reconnects; whoever started it starts another one.

      caller ──{:call, …}──▶ connection ──bytes──▶ socket
             ◀──{ref, …}───             ◀──bytes──

  A caller speaks by messages and is answered through an alias of its own, so that an answer that comes too late for it
  falls to the ground. It watches the connection: an answer always arrives before the news of the end, so a connection
  that ended on purpose without answering never began with the call. That is what makes trying again safe.

  What is to be written is collected while messages wait, and written when there are none. Streams above what the peer
  takes at once wait in a line, first come, first served; one that is about to expire there is not opened, because a
  server takes streams that are opened to be reset for an attack.
  """

  use GenServer

  alias Sidewinder.Connection.{Calls, Socket}
  alias Sidewinder.Wire.{H2, Status}

  # Collected bytes that are written without looking for more.
  @batch 65_536

  # Many speak to one: their messages wait outside of its heap, which is large enough (in words) to be collected rarely.
  @spawn [message_queue_data: :off_heap, min_heap_size: 20_000]

  @type option ::
          {:address, Socket.address()}
          | {:owner, pid}
          | {:load, :counters.counters_ref()}
          | {:connect_timeout, pos_integer}
          | {:send_timeout, pos_integer}
          | {:keepalive, keyword}
          | {:max_waiting, non_neg_integer}
          | {:window, pos_integer}
          | {:connection_window, pos_integer}
          | {:fields_max, pos_integer}

  defstruct [
    :opts,
    :owner,
    :address,
    :socket,
    :machine,
    :calls,
    :why,
    :away,
    :ping,
    heard: true,
    settled: false,
    closing: false
  ]

  @doc "Starts connecting. The owner hears `{:connection, pid, :ready | :draining | :pinged_too_often}`, and of the end as of any process."
  @spec start_link([option]) :: GenServer.on_start()
  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, spawn_opt: @spawn)

  @doc """
  Asks for a call, in the name of this process. `ref` is an alias of it; what comes is `{ref, …}`:

  - to `:unary`: `{:answer, fields, chunks, trailers}` or `{:error, status}`, once
  - to `:stream`: `:opened`, then any of `{:fields, fields}` and `{:data, bytes, flow}`, and at the end
    `{:end, trailers}` or `{:error, status}`
  """
  @spec call(pid, reference, :unary | :stream, map) :: :ok
  def call(connection, ref, kind, request) do
    send(connection, {:call, ref, self(), kind, asked(request)})
    :ok
  end

  # What is sent is copied: only what is needed there.
  defp asked(%{path: path, pieces: pieces, size: size, fin: fin} = request) do
    %{
      path: path,
      pieces: pieces,
      size: size,
      fin: fin,
      metadata: request.metadata,
      deadline: request.deadline,
      max: request.max,
      shared: Map.get(request, :shared),
      uncounted: Map.get(request, :uncounted, false)
    }
  end

  @doc "Says more on a stream."
  @spec say(pid, reference, [binary], non_neg_integer, boolean) :: :ok
  def say(connection, ref, pieces, size, fin) do
    send(connection, {:say, ref, pieces, size, fin})
    :ok
  end

  @doc "So many bytes of a stream were consumed."
  @spec credit(pid, reference, pos_integer) :: :ok
  def credit(connection, ref, bytes) do
    send(connection, {:credit, ref, bytes})
    :ok
  end

  @doc "Asks for `{waiter, :room}` when no more than a little of a stream waits to be written."
  @spec room(pid, reference, reference) :: :ok
  def room(connection, ref, waiter) do
    send(connection, {:room, ref, waiter})
    :ok
  end

  @doc "The call is given up: quietly by its owner, who hears nothing more, or aloud by somebody else."
  @spec cancel(pid, reference, :quietly | :aloud) :: :ok
  def cancel(connection, ref, how) do
    send(connection, {:cancel, ref, how})
    :ok
  end

  @impl true
  def init(opts) do
    Process.flag(:trap_exit, true)
    opts = Map.new(opts)
    {:ok, %__MODULE__{opts: opts, owner: opts.owner, address: opts.address}, {:continue, :connect}}
  end

  @impl true
  def handle_continue(:connect, state) do
    %{opts: opts, address: address} = state

    with {:ok, socket} <- Socket.connect(address, opts.connect_timeout, opts.send_timeout),
         :ok <- listen(socket, state) do
      machine = H2.new(Map.to_list(Map.take(opts, [:window, :connection_window, :fields_max])))
      Process.send_after(self(), :unsettled, opts.connect_timeout)
      calls = Calls.new(Socket.place(address), opts.load, opts.max_waiting)
      flush(%{state | socket: socket, machine: machine, calls: calls})
    else
      {:error, why} -> {:stop, {:shutdown, {:gone, Socket.reason(why)}}, state}
    end
  end

  # A server that asks for a certificate may say so when everything is agreed on.
  defp listen(socket, state) do
    with {:error, why} <- Socket.listen(socket) do
      Socket.close(socket)
      {:error, unheard(Socket.reason(why), %{state | socket: socket})}
    end
  end

  @impl true
  def handle_info({kind, _, bytes}, state) when kind in [:tcp, :ssl] do
    state = heard(state, bytes)
    if kind == :ssl, do: Socket.listen(state.socket)
    next(state)
  end

  def handle_info({:call, ref, pid, kind, request}, state) do
    {calls, machine} = Calls.begin(state.calls, state.machine, ref, pid, kind, request)
    next(%{state | calls: calls, machine: machine})
  end

  def handle_info({:say, ref, pieces, size, fin}, state) do
    next(%{state | machine: Calls.say(state.calls, state.machine, ref, pieces, size, fin)})
  end

  def handle_info({:credit, ref, bytes}, state),
    do: next(%{state | machine: Calls.credit(state.calls, state.machine, ref, bytes)})

  def handle_info({:room, ref, waiter}, state), do: next(%{state | calls: Calls.room(state.calls, ref, waiter)})

  def handle_info({:cancel, ref, how}, state) do
    {calls, machine} = Calls.cancel(state.calls, state.machine, ref, how)
    next(%{state | calls: calls, machine: machine})
  end

  def handle_info({:caller, _, :process, pid, _}, state) do
    {calls, machine} = Calls.ended(state.calls, state.machine, pid)
    next(%{state | calls: calls, machine: machine})
  end

  def handle_info(:timeout, state), do: flush(state)
  def handle_info(:retire, state), do: next(drain("its address is no longer named", state))

  def handle_info({kind, _}, state) when kind in [:tcp_passive, :ssl_passive] do
    case Socket.listen(state.socket) do
      :ok -> next(state)
      {:error, why} -> gone(Socket.reason(why), state)
    end
  end

  def handle_info({kind, _}, state) when kind in [:tcp_closed, :ssl_closed],
    do: gone(Socket.reason(:closed), state)

  def handle_info({kind, _, why}, state) when kind in [:tcp_error, :ssl_error],
    do: gone(Socket.reason(why), state)

  def handle_info(:unsettled, %{machine: %{phase: :greeting}} = state),
    do: gone("the server sent no SETTINGS", state)

  def handle_info(:unsettled, state), do: next(state)
  def handle_info(:keepalive, state), do: keepalive(state)
  def handle_info({:silent, ping}, %{ping: ping} = state), do: gone("the server did not answer a PING", state)
  def handle_info({:EXIT, from, _}, state) when is_port(from), do: gone(Socket.reason(:closed), state)
  def handle_info({:EXIT, _, reason}, state), do: {:stop, reason, state}
  def handle_info(_, state), do: next(state)

  @impl true
  def terminate(_, %{machine: nil}), do: :ok
  def terminate({:shutdown, {:gone, _}}, state), do: part(state)

  def terminate(why, state) when why == :shutdown or why == :normal or elem(why, 0) == :shutdown do
    calls = Calls.fail(state.calls, "the channel was stopped")
    part(%{state | calls: calls, machine: H2.goaway(state.machine, :no_error, "")})
  end

  # What a crash leaves is not to be trusted: callers learn of the end of the process.
  def terminate(_, _), do: :ok

  defp part(state) do
    {out, _} = H2.take_out(state.machine)
    _ = if out != [], do: Socket.send(state.socket, out)
    Socket.close(state.socket)
  end

  ## What was read

  defp heard(state, bytes), do: events(%{state | machine: H2.receive(state.machine, bytes), heard: true})

  defp events(%{machine: %{events: []}} = state), do: state

  defp events(state) do
    {events, machine} = H2.take_events(state.machine)
    events(events, %{state | machine: machine})
  end

  # Nearly all are of calls, and those are taken together.
  defp events(events, state) do
    {events, calls, machine} = Calls.events(events, state.calls, state.machine)
    state = %{state | calls: calls, machine: machine}

    case events do
      [] -> state
      [event | events] -> events(events, event(event, state))
    end
  end

  defp event(:settled, state) do
    send(state.owner, {:connection, self(), :ready})
    arm(state)
    %{state | settled: true}
  end

  # The words with which gRPC servers say that they are asked too often whether they are there.
  defp event({:away, :enhance_your_calm, "too_many_pings"}, state) do
    send(state.owner, {:connection, self(), :pinged_too_often})
    drain("the server is asked too often whether it is there (keepalive)", state)
  end

  defp event({:away, code, text}, state),
    do: drain("the server is going away: #{code} #{inspect(text)}", state)

  defp event({:broken, code, why}, state), do: %{state | why: "the server broke HTTP/2: #{code}, #{why}"}
  defp event({:pong, opaque}, %{ping: opaque} = state), do: %{state | ping: nil}
  defp event({:pong, _}, state), do: state
  defp event(:room, state), do: state

  # New calls go elsewhere, those that are open come to their end here.
  defp drain(_, %{closing: true} = state), do: state

  defp drain(why, state) do
    send(state.owner, {:connection, self(), :draining})
    %{state | away: why, closing: true, calls: Calls.refuse(state.calls, why)}
  end

  ## What is to be written

  defp next(state) do
    state = state |> pump() |> events()
    size = H2.out_size(state.machine)

    cond do
      state.why != nil -> gone(state.why, state)
      state.closing and Calls.none?(state.calls) -> stop("the server went away", state)
      size == 0 -> {:noreply, state}
      size > @batch -> flush(state)
      true -> {:noreply, state, 0}
    end
  end

  defp pump(%{calls: %{waiting: 0}} = state), do: state

  defp pump(state) do
    {calls, machine} = Calls.pump(state.calls, state.machine)
    %{state | calls: calls, machine: machine}
  end

  defp flush(state) do
    {out, machine} = H2.take_out(state.machine)
    fresh = Calls.fresh(state.calls)
    whole = fresh != [] and Socket.whole?(state.socket)
    state = events(%{state | machine: machine, calls: Calls.written(state.calls)})

    case if(out == [], do: :ok, else: Socket.send(state.socket, out)) do
      :ok ->
        {:noreply, state}

      {:error, why} ->
        gone("writing failed: #{Socket.reason(why)}", if(whole, do: unwritten(state, fresh), else: state))
    end
  end

  defp unwritten(state, fresh), do: %{state | calls: Calls.unwritten(state.calls, fresh)}

  ## Being there

  defp arm(state), do: Process.send_after(self(), :keepalive, state.opts.keepalive[:every])

  # Whoever was heard since the last look is there. A question that nobody answers ends the connection.
  defp keepalive(%{heard: true} = state) do
    arm(state)
    Calls.settle(state.calls)
    next(%{state | heard: false})
  end

  defp keepalive(state) do
    arm(state)

    if state.ping == nil do
      opaque = :crypto.strong_rand_bytes(8)
      Process.send_after(self(), {:silent, opaque}, state.opts.keepalive[:patience])
      next(%{state | ping: opaque, machine: H2.ping(state.machine, opaque)})
    else
      next(state)
    end
  end

  ## The end

  # What the server said before it went is in the mailbox still, and may be a goodbye that tells which calls it never saw.
  defp gone(why, state) do
    state = read_ahead(state)
    why = state.why || state.away || why
    stop(if(state.settled, do: why, else: unheard(why, state)), state)
  end

  # Whoever hangs up before anything was agreed on likely wants to be spoken to otherwise.
  defp unheard(why, %{address: {:unix, _} = address}), do: "#{Socket.show(address)}: #{why}"

  defp unheard(why, state) do
    wanted = if state.socket.kind == :tls, do: "a certificate (certfile:, keyfile:)", else: "TLS"
    "#{Socket.show(state.address)}: #{why}, before HTTP/2 was agreed on; it may want #{wanted}"
  end

  defp read_ahead(%{socket: %{socket: socket}} = state) do
    receive do
      {kind, ^socket, bytes} when kind in [:tcp, :ssl] and is_binary(bytes) -> read_ahead(heard(state, bytes))
      {:ssl_error, ^socket, why} -> read_ahead(%{state | why: state.why || Socket.reason(why)})
    after
      0 -> state
    end
  end

  defp stop(why, state) do
    calls = Calls.fail(state.calls, why)
    {:stop, {:shutdown, {:gone, why}}, %{state | calls: calls, why: why}}
  end

  @doc "What a caller makes of the end of its connection, when nothing was answered."
  @spec ended(term) :: Status.t()
  def ended({:shutdown, {:gone, why}}), do: Status.unsent(:unavailable, why, :transport)
  def ended(:noproc), do: Status.unsent(:unavailable, "the connection is gone", :transport)
  def ended(:shutdown), do: Status.unsent(:unavailable, "the channel was stopped", :transport)
  def ended(why), do: Status.lost(:unavailable, "the connection crashed: #{inspect(why, limit: 3)}")
end
