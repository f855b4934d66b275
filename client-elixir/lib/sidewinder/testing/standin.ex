defmodule Sidewinder.Testing.Standin do
  @moduledoc """
  The daemon of a test: it knows tools, remembers calls, and grants leases by the rules of the contract.

  A lease goes on when the same run comes back, under a higher epoch. Calls under an ended lease are refused with
  `:lease_expired`, under an older epoch with `:stale_epoch`. Leases do not end by time here, but when a test says so.
  """

  use GenServer

  alias Sidewinder.{Error, Proto, Value}
  alias Sidewinder.Proto.Google.Duration

  @calls_max 10_000
  @said_max 10_000

  # What may happen, by its name: an atom is there only once a module that has it is loaded.
  @happenings Map.new(Proto.words("sidewinder.v1.Happening"), fn {word, _} -> {Atom.to_string(word), word} end)

  @doc false
  def start_link(options), do: GenServer.start_link(__MODULE__, options, name: Keyword.fetch!(options, :name))

  @doc "Asks the stand-in."
  @spec ask(GenServer.server(), term) :: term
  def ask(standin, question), do: GenServer.call(standin, question)

  @impl true
  def init(options) do
    {:ok,
     %{
       tools: Map.new(options[:tools] || %{}),
       calls: [],
       said: [],
       run: Base.encode16(:crypto.strong_rand_bytes(16), case: :lower),
       leases: Keyword.get(options, :leases, true),
       interval: options[:interval_ms] || 1_000,
       ttl: options[:ttl_ms] || 10_000,
       lease: nil,
       stream: nil,
       refusing: nil,
       silent: false,
       granted: 0,
       sequence: 0
     }}
  end

  @impl true
  def handle_call({:put_tool, name, tool}, _from, state), do: {:reply, :ok, put_in(state.tools[name], tool)}
  def handle_call(:calls, _from, state), do: {:reply, Enum.reverse(state.calls), state}
  def handle_call(:forget_calls, _from, state), do: {:reply, :ok, %{state | calls: []}}
  def handle_call(:said, _from, state), do: {:reply, Enum.reverse(state.said), state}
  def handle_call({:refuse_attach, error}, _from, state), do: {:reply, :ok, %{state | refusing: error}}

  def handle_call({:silence, silent}, _from, state) do
    if state.stream, do: send(state.stream, {:silence, silent})
    {:reply, :ok, %{state | silent: silent}}
  end

  def handle_call(:disconnect, _from, state) do
    if state.stream, do: Process.exit(state.stream, :kill)
    {:reply, :ok, %{state | stream: nil}}
  end

  def handle_call(:expire_lease, _from, state) do
    if state.stream,
      do: send(state.stream, {:hang_up, %Error{reason: :lease_expired, ran: :no, message: "it has ended"}})

    {:reply, :ok, %{state | stream: nil, lease: nil}}
  end

  def handle_call({:event, what, details}, _from, state) do
    sequence = state.sequence + 1
    word = Map.fetch!(@happenings, "HAPPENING_" <> String.upcase(Atom.to_string(what)))
    fields = Map.take(details, [:pool, :worker, :text, :facts, :lost])
    event = struct!(%Proto.Event{sequence: sequence, what: word}, fields)
    if state.stream, do: send(state.stream, {:tell, {:event, event}})
    {:reply, :ok, %{state | sequence: sequence}}
  end

  def handle_call({:attach, hello}, {stream, _}, state) do
    state = remember(state, {:hello, hello})

    case refusal(state, hello) do
      nil -> grant(hello, stream, state)
      error -> {:reply, {:refuse, error}, state}
    end
  end

  def handle_call({:said, {:detach, _} = said}, _from, state),
    do: {:reply, :ok, %{remember(state, said) | lease: nil, stream: nil}}

  def handle_call({:said, said}, _from, state), do: {:reply, :ok, remember(state, said)}
  def handle_call({:asked, path, message}, _from, state), do: asked(path, message, state)

  defp refusal(%{leases: false}, _hello), do: %Error{reason: :unknown_method, code: :unimplemented, ran: :no}
  defp refusal(%{refusing: error}, _hello), do: error

  defp grant(hello, stream, state) do
    resumed = match?(%{run: run} when run == hello.run, state.lease)
    {name, epoch} = if resumed, do: {state.lease.name, state.lease.epoch + 1}, else: {"lease-#{state.granted + 1}", 1}

    granted = %Proto.Granted{
      lease: name,
      epoch: epoch,
      interval: duration(state.interval),
      ttl: duration(state.ttl),
      mode: if(hello.mode == "", do: "independent", else: hello.mode),
      run: state.run,
      resumed: resumed
    }

    state = %{state | lease: %{name: name, epoch: epoch, run: hello.run}, stream: stream, granted: state.granted + 1}
    {:reply, {:granted, granted, standing(state), state.silent}, state}
  end

  defp duration(ms), do: %Duration{seconds: div(ms, 1000), nanos: rem(ms, 1000) * 1_000_000}

  defp standing(_state) do
    %Proto.Standing{
      mode: "independent",
      pools: [%Proto.PoolStanding{name: "default", phase: :PHASE_SERVING, ready: 1}]
    }
  end

  defp asked(path, %module{} = message, state) when module in [Proto.CallRequest, Proto.Input] do
    request = if module == Proto.Input, do: elem(message.part, 1), else: message
    call = request.call
    asked = told(path, call, request.arguments)
    state = %{state | calls: Enum.take([Map.delete(asked, :fun) | state.calls], @calls_max)}

    with :ok <- leased(call, state), {:ok, fun} <- tool(call, state) do
      {:reply, {:run, %{asked | fun: fun}}, state}
    else
      {:error, error} -> {:reply, {:refuse, error}, state}
    end
  end

  defp asked("/sidewinder.v1.Calls/Result", question, state) do
    what = "no ending is kept under the key #{question.idempotency_key}: a stand-in keeps none"
    {:reply, {:refuse, %Error{reason: :unknown_key, code: :not_found, ran: :no, message: what}}, state}
  end

  defp asked("/sidewinder.v1.Pools/Describe", _, state) do
    clients = if state.lease, do: 1, else: 0

    answer = %Proto.DescribeResponse{
      version: "stand-in",
      run: state.run,
      mode: "independent",
      tier: "C",
      clients: clients
    }

    {:reply, {:answer, answer}, state}
  end

  defp asked("/sidewinder.v1.Pools/ListPools", _, state) do
    pool = %Proto.Pool{name: "default", phase: :PHASE_SERVING, ready: 1, seats: 1, size: %Proto.Size{min: 1, max: 1}}
    {:reply, {:answer, %Proto.ListPoolsResponse{pools: [pool]}}, state}
  end

  defp asked("/sidewinder.v1.Pools/ListTools", _, state) do
    tools = for {name, _} <- Enum.sort(state.tools), do: %Proto.Tool{pool: "default", name: name}
    {:reply, {:answer, %Proto.ListToolsResponse{tools: tools}}, state}
  end

  defp asked(path, _message, state) do
    {:reply, {:refuse, %Error{reason: :unknown_method, code: :unimplemented, ran: :no, message: "no #{path} here"}},
     state}
  end

  defp told(path, call, payload) do
    {:ok, arguments} = if payload, do: Value.decode(payload.content_type, payload.data), else: {:ok, %{}}

    %{
      kind: path |> String.split("/") |> List.last() |> String.downcase() |> String.to_existing_atom(),
      tool: call.tool,
      arguments: arguments,
      content_type: if(payload, do: payload.content_type, else: ""),
      pool: call.pool,
      metadata: call.metadata,
      affinity: call.affinity && call.affinity.key,
      affinity_mode: call.affinity && call.affinity.mode,
      idempotency_key: call.idempotency_key,
      priority: call.priority,
      on_abandon: call.on_abandon,
      lease: call.lease,
      epoch: call.epoch,
      fun: nil
    }
  end

  defp leased(%{lease: ""}, _state), do: :ok

  defp leased(call, %{lease: %{name: name} = lease}) when name == call.lease do
    if call.epoch >= lease.epoch,
      do: :ok,
      else: {:error, %Error{reason: :stale_epoch, code: :failed_precondition, ran: :no, message: "it came back since"}}
  end

  defp leased(call, _state) do
    what = "there is no lease #{call.lease}, or no longer: attach again"
    {:error, %Error{reason: :lease_expired, code: :failed_precondition, ran: :no, message: what}}
  end

  defp tool(call, state) do
    case Map.fetch(state.tools, call.tool) do
      {:ok, fun} ->
        {:ok, fun}

      :error ->
        what = "there is no tool #{call.tool} here"
        {:error, %Error{reason: :unknown_tool, code: :not_found, ran: :no, tool: call.tool, message: what}}
    end
  end

  defp remember(state, said), do: %{state | said: Enum.take([said | state.said], @said_max)}
end
