defmodule Sidewinder.Error do
  @moduledoc """
  Why a call has no answer.

  The first question is whether the tool began. `ran: :no` says that it did not, and that trying again is safe; `ran:
  :maybe` that it may have had effects. `retry?/1` says whether trying again soon is also sensible.

  `reason` says why, for programs. It is an atom for every reason that this version knows, and stays text for one that
  only a newer daemon knows, so no atom is ever made of what was received.

  | reasons | the tool | |
  |---|---|---|
  | `:queue_full` `:client_limit` `:draining` `:deadline_passed` `:affinity_busy` `:affinity_lost` `:quarantined` `:fatal` `:unfit` `:busy` `:stopping` | did not run | refused |
  | `:lease_expired` `:stale_epoch` `:lease_required` `:key_running` `:unknown_key` `:too_many_clients` `:other_mode` | did not run, but for a lease that ended under its call | the lease, or the key |
  | `:unknown_tool` `:bad_arguments` `:bad_payload` `:bad_content_type` `:not_a_stream` | did not run | a worker looked at it and rejected it |
  | `:raised` `:cancelled` | raised | this is an answer: `exception`, `message`, `traceback`, `detail` with the notes |
  | `:worker_died` `:out_of_memory` `:deadline_exceeded` `:sibling_overdue` `:drained` `:broken` | may have run | failed: `exit_status`, `signal`, `detail` with the last lines |
  | `:unknown_pool` `:unknown_worker` `:bad_request` `:bad_timeout` `:too_large` `:stalled` `:unknown_method` `:not_json` `:bad_settings` | see `ran` | asked wrongly: `field` |
  | `:unencodable` `:not_attached` `:too_many_casts` | did not run | said by this library: nothing was sent |
  | `:undecodable` | ran | said by this library: there is an answer, and it cannot be read |
  | a gRPC code, such as `:unavailable` | see `ran` | no daemon said anything |
  """

  alias Sidewinder.Proto.Google.Rpc.{DebugInfo, ErrorInfo, RetryInfo, Status}

  @domain "sidewinder"

  @codes {:ok, :cancelled, :unknown, :invalid_argument, :deadline_exceeded, :not_found, :already_exists,
          :permission_denied, :resource_exhausted, :failed_precondition, :aborted, :out_of_range, :unimplemented,
          :internal, :unavailable, :data_loss, :unauthenticated}

  @reasons for {word, number} <- Sidewinder.Proto.words("sidewinder.v1.Error.Reason"),
               number != 0,
               into: %{},
               do: {Atom.to_string(word), word |> Atom.to_string() |> String.downcase() |> String.to_atom()}

  @type t :: %__MODULE__{
          reason: atom | String.t(),
          message: String.t(),
          code: atom,
          ran: :no | :maybe,
          retry_after: non_neg_integer | nil,
          pool: String.t() | nil,
          tool: String.t() | nil,
          worker: String.t() | nil,
          exit_status: integer | nil,
          signal: integer | nil,
          exception: String.t() | nil,
          field: String.t() | nil,
          traceback: String.t() | nil,
          detail: String.t() | nil,
          metadata: %{String.t() => String.t()}
        }

  defexception reason: :unknown,
               message: "",
               code: :unknown,
               ran: :maybe,
               retry_after: nil,
               pool: nil,
               tool: nil,
               worker: nil,
               exit_status: nil,
               signal: nil,
               exception: nil,
               field: nil,
               traceback: nil,
               detail: nil,
               metadata: %{}

  @impl true
  def message(%__MODULE__{} = error) do
    place = [error.pool, error.tool, error.worker] |> Enum.reject(&is_nil/1) |> Enum.join(" ")
    head = "#{reason_text(error.reason)}: #{error.message}#{if place != "", do: " (#{place})"}"

    [head, error.traceback, error.detail]
    |> Enum.reject(&(&1 in [nil, ""]))
    |> Enum.join("\n")
  end

  defp reason_text(reason) when is_atom(reason), do: Atom.to_string(reason)
  defp reason_text(reason), do: reason

  @doc """
  Whether trying again soon is safe and sensible: the tool did not begin, and the daemon has said after what time.

      iex> Sidewinder.Error.retry?(%Sidewinder.Error{reason: :queue_full, ran: :no, retry_after: 100})
      true
      iex> Sidewinder.Error.retry?(%Sidewinder.Error{reason: :worker_died, ran: :maybe, retry_after: 100})
      false
      iex> Sidewinder.Error.retry?(%Sidewinder.Error{reason: :unknown_tool, ran: :no})
      false
  """
  @spec retry?(t) :: boolean
  def retry?(%__MODULE__{ran: :no, retry_after: after_ms}) when is_integer(after_ms), do: true
  def retry?(%__MODULE__{}), do: false

  @doc "Every reason of the contract that this version knows."
  @spec reasons() :: [atom]
  def reasons, do: Map.values(@reasons)

  @doc "The atom of a reason as it is sent, or the text itself if this version does not know it."
  @spec reason(String.t()) :: atom | String.t()
  def reason(word), do: Map.get(@reasons, word, word)

  @doc "The reason as it is sent."
  @spec word(atom | String.t()) :: String.t()
  def word(reason) when is_atom(reason), do: reason |> Atom.to_string() |> String.upcase()
  def word(reason), do: reason

  @doc "The name of a gRPC code."
  @spec code(integer) :: atom
  def code(number) when number in 0..16, do: elem(@codes, number)
  def code(_number), do: :unknown

  @doc "The number of a gRPC code."
  @spec code_number(atom) :: 0..16
  def code_number(name), do: Enum.find_index(Tuple.to_list(@codes), &(&1 == name)) || 2

  @doc false
  # From a status as a connection reports it. `told` is what the caller knows of its call.
  @spec from_status(map, keyword) :: t
  def from_status(status, told \\ []) do
    told = told |> Keyword.take([:pool, :tool]) |> Enum.reject(fn {_, value} -> value in [nil, ""] end)

    case details(status.details) do
      %{info: %ErrorInfo{domain: @domain} = info} = details -> spoken(status, info, details, told)
      _ -> unspoken(status, told)
    end
  end

  defp spoken(status, info, details, told) do
    known = info.metadata

    struct!(
      %__MODULE__{
        reason: reason(info.reason),
        message: status.message || "",
        code: code(status.code),
        ran: if(known["ran"] == "no", do: :no, else: :maybe),
        retry_after: details[:retry_after],
        worker: known["worker"],
        exit_status: integer(known["exit_status"]),
        signal: integer(known["signal"]),
        exception: known["exception"],
        field: known["field"],
        traceback: details[:traceback],
        detail: details[:detail],
        metadata: known
      },
      Keyword.merge(told, pool: known["pool"] || told[:pool], tool: known["tool"] || told[:tool])
    )
  end

  # Nobody of Sidewinder said anything: a proxy, a connection that broke, our own deadline.
  defp unspoken(status, told) do
    ran = if Map.get(status, :sent) == :no, do: :no, else: :maybe
    code = code(status.code)
    struct!(%__MODULE__{reason: code, code: code, message: status.message || "", ran: ran}, told)
  end

  defp details(nil), do: %{}

  defp details(packed) do
    case Status.decode(packed) do
      {:ok, status} -> Enum.reduce(status.details, %{}, &detail/2)
      {:error, _} -> %{}
    end
  end

  defp detail(any, found) do
    case any.type_url |> String.split("/") |> List.last() do
      "google.rpc.ErrorInfo" -> put(found, ErrorInfo.decode(any.value), &Map.put(found, :info, &1))
      "google.rpc.RetryInfo" -> put(found, RetryInfo.decode(any.value), &Map.put(found, :retry_after, delay(&1)))
      "google.rpc.DebugInfo" -> put(found, DebugInfo.decode(any.value), &debug(found, &1))
      _ -> found
    end
  end

  defp put(_found, {:ok, message}, fun), do: fun.(message)
  defp put(found, {:error, _}, _fun), do: found

  defp delay(%{retry_delay: nil}), do: 0
  defp delay(%{retry_delay: delay}), do: max(delay.seconds * 1000 + div(delay.nanos, 1_000_000), 0)

  defp debug(found, info) do
    found
    |> Map.put(:traceback, if(info.stack_entries != [], do: Enum.join(info.stack_entries, "\n")))
    |> Map.put(:detail, if(info.detail != "", do: info.detail))
  end

  defp integer(nil), do: nil

  defp integer(text) do
    case Integer.parse(text) do
      {number, ""} -> number
      _ -> nil
    end
  end
end
